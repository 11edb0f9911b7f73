import numpy as np
import pytest
import typer
import xarray as xr
from typer.testing import CliRunner

import trajlab
from trajlab.errors import AmbiguousData
from trajlab.running.options import RunOptions
from trajlab.running.stage_command import lazy_result, stage_command


@pytest.fixture
def folder(checkpoints):
    return checkpoints({"w": np.arange(6.0).reshape(3, 2)}, steps=[0, 10, 20])


def invoke(command, *arguments):
    app = typer.Typer(add_completion=False)
    app.command()(command)
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_stage_command__hands_the_result_and_all_options_on(folder, tmp_path):
    handed = []
    command = stage_command("drift", finish=lambda lazily, options: handed.append((lazily(), options)))
    params = tmp_path / "params.yaml"
    params.write_text("drift: {reference: 10, atol: 0.5}")
    done = invoke(command, folder, "out.zarr", "--reference", "-1", "--params", params, "--workers", 2)
    assert done.exit_code == 0, done.output
    ((result, options),) = handed
    assert result.attrs["settings"] == '{"reference": -1, "atol": 0.5}'  # options go before the file
    assert (options["workers"], options["overwrite"], options["rtol"]) == (2, False, 0.0)
    assert result.norm.chunks and "model" in options  # lazy; a stage of weights can run on activations


def test_stage_command__writes_where_it_is_told_to(folder, tmp_path):
    assert invoke(stage_command("drift"), folder, tmp_path / "drift.zarr").exit_code == 0
    assert xr.open_zarr(tmp_path / "drift.zarr").step.values.tolist() == [0, 10, 20]


def test_stage_command__settings_are_options_with_their_help_and_sequences_repeat():
    text = invoke(stage_command("zero_gradients"), "--help").output
    assert "--tau" in text and "--relative" in text and "Settings" in text and "--device" not in text
    assert "--device" in invoke(stage_command("evaluation"), "--help").output
    assert invoke(stage_command("drift"), "run", "out", "--reference", "x").exit_code == 2


def test_lazy_result__of_a_folder_of_runs_and_a_parent_that_needs_no_choice(tmp_path, checkpoints):
    for name in ("a", "b"):
        run = checkpoints({"w": np.zeros((2, 3))}, folder=tmp_path / "study" / name)
        (run / "run.json").write_text('{"format": "trajlab-snapshots-1", "parameters": ["w"]}')
    result = lazy_result("drift", RunOptions(tmp_path / "study"), {"reference": -1})
    assert result.run.values.tolist() == ["a", "b"]
    parent = checkpoints({"w": np.ones((1, 3))}, folder=tmp_path / "parent")
    apart = lazy_result("drift", RunOptions(tmp_path / "study" / "a", parent=parent), {}).compute()
    assert apart.total_distance_l2.values.tolist() == [3**0.5] * 2


def test_lazy_result__an_ambiguous_folder_stays_one(tmp_path, monkeypatch, checkpoints):
    folder = checkpoints({"w": np.zeros((2, 3))})

    def ambiguous(path, **options):
        if options.get("series") is None:
            raise AmbiguousData("two networks")
        return trajlab.open(path)

    monkeypatch.setattr("trajlab.running.stage_command.open_trajectory", ambiguous)
    with pytest.raises(AmbiguousData, match="two networks"):
        lazy_result("drift", RunOptions(folder), {})
    assert lazy_result("drift", RunOptions(folder, parent=folder, series="a"), {}).sizes["step"] == 2
