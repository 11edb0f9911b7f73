"""The page in a browser."""

import io

import numpy as np
import pandas as pd

import trajlab
from tests.explorer.conftest import HOSTILE
from trajlab.running.compute import write

HEAT = "relative distance from the start"


def test_the_overview_shows_facts_metrics_and_a_heat_map(looking, address):
    looking.open(address)
    looking.see(HEAT)
    looking.see("by role and block")
    looking.see("loss")
    looking.reads("12, steps 0 to 110")


def test_a_click_selects_step_and_row_and_stands_in_the_address(looking, address):
    looking.open(address)
    looking.click(HEAT, 60, 1.5)
    looking.address_holds("step=60")
    looking.address_holds("row=layers.0.down.weight")
    looking.see("step 60")


def test_a_brush_zooms_all_views_and_reset_shows_all_steps(looking, address):
    looking.open(address)
    looking.drag(HEAT, 28, 72, 1.5)
    looking.address_holds("window=[30,+70]")
    looking.page.get_by_text("Layer", exact=True).click()
    looking.see("layers.0.up.weight")
    looking.page.get_by_role("button", name="show all steps").click()
    looking.page.wait_for_function("() => !location.search.includes('window')")


def test_the_address_restores_the_state_and_back_goes_back(looking, address):
    looking.open(address, "&view=Layer&row=layers.2.up.weight&step=40")
    looking.see("layers.2.up.weight")
    looking.see("values at step 40")
    looking.page.get_by_text("Two moments", exact=True).click()
    looking.reads("step 0 → b: step 40")
    looking.address_holds("view=Two+moments")
    looking.page.go_back()
    looking.see("values at step 40")


def test_an_address_that_is_not_readable_is_named(looking, address):
    looking.open(address, "&step=zebra&view=nowhere&run=none&row=none")
    looking.reads("not readable in view, step")
    looking.see(HEAT)


def test_the_player_moves_the_step(looking, address):
    looking.open(address, "&view=Layer&row=layers.0.up.weight&step=0")
    looking.see("values at step 0")
    looking.page.locator("button.play").click()
    looking.see("values at step 110")


def test_two_moments_rank_layers_by_their_change(looking, address):
    looking.open(address, "&view=Two+moments&run=run-2&row=layers.1.up.weight&step=110&before=100")
    looking.see("values of layers.1.up.weight")
    looking.reads("rows of layers.1.up.weight that changed most")
    looking.reads("0.0909")  # 1 + 11 against 1 + 10 times the weights


def test_runs_correlate_a_fact_with_an_end_value(looking, address):
    looking.open(address, "&view=Runs&fact=lr&outcome=loss,+last")
    looking.see("ρ = 1.00, p = 0.333 by permutation, 3 runs")
    looking.page.locator(".tabulator-cell", has_text="run-2").wait_for()
    looking.page.locator(".tabulator-cell", has_text=HOSTILE).first.wait_for()


def test_another_metric_is_shown(looking, address):
    looking.open(address)
    looking.page.get_by_label("metric").select_option("accuracy")
    looking.see("accuracy")
    looking.address_holds("metric=accuracy")


def test_samples_say_why_there_are_none(looking, address):
    looking.open(address, "&view=Samples")
    looking.reads("no embedding")


def test_search_and_order_of_rows(looking, address):
    looking.open(address)
    looking.see(HEAT)
    field = looking.page.get_by_placeholder("mlp")
    field.fill("*up*")
    field.press("Enter")
    looking.address_holds("find=*up*")
    looking.click(HEAT, 60, 1.5)
    looking.address_holds("row=layers.1.up.weight")


def test_the_table_and_the_code_give_the_array_of_the_view(looking, address):
    looking.open(address, "&view=Layer&row=layers.0.up.weight")
    looking.see("layers.0.up.weight")
    with looking.page.expect_download() as download:
        looking.page.get_by_text("download CSV").click()
    table = pd.read_csv(io.StringIO(download.value.path().read_text()), index_col=0)
    looking.page.get_by_text("copy as code").click()
    scope = {}
    exec(looking.page.locator("pre.code").inner_text(), scope)
    values = scope["array"].sel(run="run-1").values
    assert np.allclose(values, table["run-1"])
    assert np.allclose(values, 0.1 * np.arange(12), atol=1e-5)


def test_dark_keeps_the_state(looking, address):
    looking.open(address, "&view=Layer&row=layers.2.up.weight")
    looking.see("layers.2.up.weight")
    looking.page.get_by_role("button", name="dark").click()
    looking.page.wait_for_url("**theme=dark**")
    looking.see("layers.2.up.weight")
    assert looking.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"


def test_a_folder_of_results_alone_is_shown(looking, serve, tmp_path):
    write({tmp_path / "drift.zarr": trajlab.run("drift", trajlab.example())})
    looking.open(serve(tmp_path))
    looking.see(HEAT)
    looking.reads("only its results are shown")


def test_one_snapshot_is_shown(looking, serve, tmp_path, checkpoints):
    looking.open(serve(checkpoints({"a.w": np.ones((1, 2, 2), np.float32)}), "--stages", "drift"))
    looking.see("distance")
