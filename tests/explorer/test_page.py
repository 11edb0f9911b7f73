"""The page in a browser. A page takes seconds to load, so a test follows one visit through several views."""

import io
import time

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import trajlab
from tests.explorer.conftest import FIND, HOSTILE, LONG, Looking, run_of
from trajlab.running.compute import write
from trajlab.runs.disk.paths import as_path

HEAT = "relative distance from the start"

PLAYER = "[...Bokeh.documents[0]._all_models.values()].find((model) => model.type.endsWith('Player'))"
"""The slider that plays; its direction is 0 while it does not."""


def test_the_overview_selects_searches_and_zooms(looking, address):
    looking.open(address)
    looking.see(HEAT)
    looking.see("by role and block")
    looking.see("loss")
    looking.reads("12, steps 0 to 110")
    looking.click(HEAT, 60, 1.5)
    looking.address_holds("step=60")
    looking.address_holds("row=layers.0.down.weight")
    looking.see("by role and block · step 60")
    looking.page.get_by_label("metric").select_option("accuracy")
    looking.see("accuracy")
    looking.address_holds("metric=accuracy")
    looking.drag(HEAT, 28, 72, 1.5)
    looking.address_holds("window=[30,+70]")
    field = looking.page.get_by_placeholder("mlp")
    field.fill("*up*")
    field.press("Enter")
    looking.address_holds("find=*up*")
    looking.click(HEAT, 60, 1.5)
    looking.address_holds("row=layers.1.up.weight")
    looking.tab("Layer")
    looking.see("layers.1.up.weight · relative distance")
    looking.page.get_by_role("button", name="show all steps").click()
    looking.page.wait_for_function("() => !window.location.search.includes('window')")


def test_a_layer_is_restored_and_gives_its_numbers(looking, address):
    looking.open(address, "&view=Layer&row=layers.0.up.weight&step=100")
    looking.see("layers.0.up.weight · relative distance")
    looking.see("values at step 100")
    looking.see("singular values at step 100")
    looking.see("quantiles of the values")
    with looking.page.expect_download() as download:
        looking.page.get_by_text("download CSV").click()
    table = pd.read_csv(io.StringIO(download.value.path().read_text()), index_col=0)
    looking.page.get_by_text("copy as code").click()
    scope = {}
    exec(looking.page.locator("pre.code").inner_text(), scope)
    values = scope["array"].sel(run="run-1").values
    assert np.allclose(values, table["run-1"])
    assert np.allclose(values, 0.1 * np.arange(12), atol=1e-5)
    with looking.page.expect_download() as download:
        looking.page.get_by_title("Download SVG").first.click()
    assert download.value.path().read_text().startswith("<svg") and download.value.suggested_filename == "trajlab.svg"


def test_a_layer_plays_and_back_goes_back(looking, address):
    looking.open(address, "&view=Layer&row=layers.0.up.weight&step=100")
    looking.see("values at step 100")
    looking.page.locator("button.play").click()
    looking.see("values at step 110")
    looking.address_holds("step=110")
    looking.page.keyboard.press("ArrowLeft")
    looking.see("values at step 100")
    looking.page.locator("button.play").click()
    looking.page.keyboard.press("ArrowRight")
    assert looking.page.evaluate(f"{PLAYER}.direction") == 0, "it plays on"
    looking.see("values at step 110")
    looking.page.keyboard.press("3")
    looking.reads("step 0 → b: step 110")
    looking.address_holds("view=Two+moments")
    looking.page.go_back()
    looking.see("values at step 110")


def test_moments_runs_and_samples(looking, address):
    state = "&view=Two+moments&run=run-2&row=layers.1.up.weight&step=110&before=100&fact=lr&outcome=loss,+last"
    looking.open(address, state)
    looking.see("values of layers.1.up.weight")
    looking.reads("rows of layers.1.up.weight that changed most")
    looking.reads("0.0909")  # 1 + 11 against 1 + 10 times the weights
    looking.tab("Runs")
    looking.see("ρ = 1.00, p = 0.333 by permutation, 3 runs")
    looking.page.locator(".tabulator-cell", has_text="run-2").wait_for()
    looking.page.locator(".tabulator-cell", has_text=HOSTILE).first.wait_for()
    looking.tab("Before a step")
    looking.reads("There is no change_points of run-2.")
    looking.tab("Samples")
    looking.reads("There is no embedding of run-2.")


def test_an_address_that_is_not_readable_is_named_and_dark_keeps_the_state(looking, address):
    looking.open(address, "&step=zebra&view=nowhere&run=none&row=layers.2.up.weight")
    looking.reads("not readable in view, step")
    looking.see(HEAT)
    looking.page.get_by_role("button", name="dark").click()
    looking.page.wait_for_url("**theme=dark**")
    looking.address_holds("row=layers.2.up.weight")
    looking.see(HEAT)
    assert looking.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"


def test_overview_and_layer_are_no_wider_than_a_phone(browser, address):
    phone = {"width": 390, "height": 844}
    context = browser.browser.new_context(viewport=phone, is_mobile=True, has_touch=True)
    shown = Looking(context)
    for view, title in (("Overview", HEAT), ("Layer", "values at step 110")):
        shown.open(address, f"&view={view}&find=layers")  # the hostile name leaves a heat map no room
        shown.see(title)
        assert shown.page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [390, 390], view
        right = shown.page.locator(".bk-tab", has_text="Samples").bounding_box()
        assert right["x"] + right["width"] <= 390, view
    context.close()
    assert shown.complaints == []


def test_views_with_long_names_are_no_wider_than_a_phone(browser, serve, tmp_path):
    for seed in range(3):
        weights = {LONG.format(i): (1 + i + seed) * np.ones((3, 4, 4), np.float32).cumsum(0) for i in range(3)}
        metrics = xr.Dataset({f"a_metric_of_{'long_' * 12}name": ("step", [3.0, 2.0, 1.0 - seed])}, {"step": [0, 1, 2]})
        run = trajlab.from_arrays(weights, metrics=metrics)
        run.facts["describe"] = {f"a_fact_of_{'long_' * 12}name": seed, "lr": 0.1 * seed, "data": "long_" * 20}
        trajlab.pack(run, tmp_path / "runs" / f"{'sweep-of-long-names_' * 5}{seed}.zarr")
    address = serve(tmp_path / "runs", "--stages", "drift,distribution", "--results", tmp_path / "results")
    phone = {"width": 390, "height": 844}
    context = browser.browser.new_context(viewport=phone, is_mobile=True, has_touch=True)
    shown = Looking(context)
    shown.open(address)
    shown.see(HEAT)
    for view, title in (("Overview", HEAT), ("Two moments", "values of the_encoder"), ("Runs", "each line is a run"),
                        ("Layer", "values at step 2")):  # fmt: skip
        shown.tab(view)
        shown.see(title)
        shown.page.wait_for_function("() => document.documentElement.scrollWidth == innerWidth")
        assert shown.page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [390, 390], view
        for tools in shown.page.locator(".bk-Toolbar:visible").all():
            box = tools.bounding_box()
            assert box["x"] + box["width"] <= 390, view
    context.close()
    assert shown.complaints == []


@pytest.mark.slow
def test_a_run_that_grows_is_followed_in_a_browser(looking, serve, checkpoints, tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(2, 6)
    folder = checkpoints({"a.weight": array}, folder=tmp_path / "run")
    looking.open(serve(folder, "--stages", "drift", "--follow"))
    looking.see(HEAT)
    looking.reads("last step 1")
    for step in (2, 3):
        checkpoints({"a.weight": array[:1] + step}, steps=[step], folder=folder)
        looking.reads(f"last step {step}")
        looking.reads(f"{step + 1}, steps 0 to {step}")
    looking.page.wait_for_function(
        f"(title) => {{ const view = ({FIND})(title); return view != null && view.frame.x_range.end > 3.4 }}", arg=HEAT
    )


@pytest.mark.slow
def test_a_folder_of_results_alone_in_a_browser(looking, serve, tmp_path):
    write({tmp_path / "drift.zarr": trajlab.run("drift", run_of(0, 0.1, steps=150))})
    looking.open(serve(tmp_path))
    looking.see(HEAT)
    looking.reads("only its results are shown")
    slider = f"Bokeh.index.find_one({PLAYER})?.shadow_el.querySelector('input[type=range]')"
    looking.page.wait_for_function(f"() => {slider}?.value == '149'")  # the last step, and not the hundredth


def test_a_folder_of_results_alone_is_shown(drawn, tmp_path):
    write({tmp_path / "drift.zarr": trajlab.run("drift", trajlab.example())})
    page = drawn(tmp_path)
    assert HEAT in page.views["Overview"].map.drawn.figure.title.text.text
    assert "only its results are shown" in page.views["Overview"].facts.object


def test_a_url_is_shown(drawn):
    trajlab.pack(run_of(0, 0.1), "memory://explored/run.zarr")
    page = drawn(as_path("memory://explored/run.zarr"), stages=["drift"])  # as the command line passes it
    assert HEAT in page.views["Overview"].map.drawn.figure.title.text.text
    assert page.context.collection.source.paths["run"] is not None


def test_a_fault_of_a_view_is_said_and_leaves_the_others(drawn, checkpoints, monkeypatch, caplog):
    page = drawn(checkpoints({"a.w": np.ones((2, 2, 2), np.float32)}), stages=["drift"])
    monkeypatch.setattr("trajlab.explorer.views.layer.Layer.update", lambda view: 1 / 0)
    page.selection.view = "Layer"
    assert "This view failed" in page.failure.object and "ZeroDivisionError" in caplog.text
    page.selection.view = "Overview"
    assert page.failure.object == ""


def test_views_without_a_result_say_so_whatever_row_the_address_names(drawn, study):
    page = drawn(study / "run-0.zarr", stages=[], row="layers.0.up.weight")
    page.selection.view = "Layer"
    for view in ("Overview", "Layer"):
        assert "There is no result over steps and layers" in page.views[view].absent.object


def test_one_snapshot_is_shown(drawn, checkpoints):
    page = drawn(checkpoints({"a.w": np.ones((1, 2, 2), np.float32)}), stages=["drift"])
    assert "distance" in page.views["Overview"].map.drawn.figure.title.text.text
    page.selection.view = "Layer"
    assert "a.w" in page.views["Layer"].series.drawn.figure.title.text.text
    assert "unknown at every step" in page.views["Layer"].series.drawn.figure.title.text.text
    for view in ("Overview", "Layer"):
        assert "There is one snapshot, step 0" in page.views[view].absent.object


def test_results_that_cannot_be_read_are_named_above_the_others(drawn, tmp_path):
    write({tmp_path / f"{name}.zarr": trajlab.run(name, trajlab.example()) for name in ("drift", "spectrum")})
    (tmp_path / "drift.zarr" / "zarr.json").write_text("{ broken")
    page = drawn(tmp_path)
    assert "Not shown: drift: cannot read" in page.views["Overview"].absent.object
    assert page.views["Overview"].map.drawn is not None


def test_one_moment_twice_says_that_nothing_changed(drawn, checkpoints):
    folder = checkpoints({"a.w": np.arange(12, dtype=np.float32).reshape(3, 2, 2)})
    page = drawn(folder, stages=["drift"], view="Two moments", step=1, before=1)
    for _ in range(600):
        if "being compared" not in page.views["Two moments"].layers.object:
            break
        time.sleep(0.1)
        page.update()
    assert "the same snapshot" in page.views["Two moments"].layers.object


def test_colors_of_roles_and_blocks_reach_the_largest_tensor_not_the_largest_mean_of_a_module(drawn, monkeypatch):
    monkeypatch.setattr("trajlab.explorer.rows.MOST_ROWS", 4)  # so that the two tensors of a block are one row
    weights = {f"layers.{i}.{role}": np.ones((2, 4)) for i in range(3) for role in ("up.weight", "norm.weight")}
    weights["layers.0.up.weight"] = np.array([np.ones(4), np.full(4, 9.0)])
    trajlab.pack(trajlab.from_arrays(weights), "memory://roles/run.zarr")
    page = drawn(as_path("memory://roles/run.zarr"), stages=["drift"])
    overview = page.views["Overview"]
    grid = overview.grid.drawn
    assert grid.scale.norm.vmax == np.nanmax(grid.source.data["value"][0]) == 8.0
    assert overview.map.drawn.scale.norm.vmax == 4.0
