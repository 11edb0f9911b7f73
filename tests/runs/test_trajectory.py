import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr

import trajlab
from trajlab.errors import BadSetting, MissingData


def test_from_arrays__gradients_end_a_step_before_the_weights(example):
    assert example.weights["fc.weight"].sizes["step"] == 21
    assert example.gradients["fc.weight"]["step"].values.tolist() == list(range(20))
    assert example.weights["conv.weight"].dims == ("step", "out", "in", "y", "x")
    assert example.weights["conv.weight"].attrs["kind"] == "conv"
    assert example.weights["fc.bias"].attrs == {
        "shape": [3], "stored_dtype": "float32", "module": "fc", "kind": "bias",
    }  # fmt: skip


def test_from_arrays__takes_lists_and_dask_arrays():
    dask_array = xr.DataArray(np.ones((2, 3))).chunk().data
    run = trajlab.from_arrays({"a": [[1.0], [2.0]], "b": dask_array}, steps=[5, 9])
    assert run.steps.tolist() == [5, 9]
    assert run.weights["b"].chunks is not None


@pytest.mark.parametrize("steps", [[0], [0, 0], [3, 1], [[0, 1]], [0, 1, 2], [0, 1.5], [0, 10**30], ["a", "b"], 2])
def test_from_arrays__steps_must_rise(steps):
    with pytest.raises(BadSetting, match="rising steps"):
        trajlab.from_arrays({"a": np.zeros((2, 3))}, steps=steps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": {"w": [[1, 2], [3]]}}, "w was to be one array"),
        ({"weights": {"w": np.array([["a"]])}}, "w was to hold numbers"),
        ({"weights": {"w": da.ones((6, 3))[da.ones(6) > 0]}}, "shape of w is not known"),
        ({"weights": {3: np.zeros((2, 3))}}, "names of tensors are text"),
        ({"weights": [np.zeros((2, 3))]}, "arrays by name"),
        ({"weights": {}, "metrics": {"loss": [1], "accuracy": [1, 2]}}, "metrics were to be"),
        ({"weights": {}, "metrics": {"loss": 1.0}}, "metrics were to be"),
        ({"weights": {}, "metrics": 3}, "metrics were to be"),
    ],
)
def test_from_arrays__what_is_no_array_over_the_steps_is_named(arguments, message):
    with pytest.raises(BadSetting, match=message) as error:
        trajlab.from_arrays(**arguments)
    assert "\n" not in str(error.value)


def test_from_arrays__takes_tensors_of_torch():
    values = torch.randn(2, 3, requires_grad=True)
    run = trajlab.from_arrays({"a": values, "b": values.detach().bfloat16()}, metrics={"loss": [1, 2]})
    np.testing.assert_array_equal(run.weights["a"], values.detach())
    np.testing.assert_array_equal(run.weights["b"], values.detach().bfloat16().float())


def test_from_arrays__scalars_without_steps_are_refused():
    with pytest.raises(BadSetting, match="first dim over the steps"):
        trajlab.from_arrays({"a": 3.0})


def test_at__gives_a_state_dict(example):
    state = example.at(7)
    assert set(state) == set(example.weights)
    assert torch.equal(state["fc.bias"], torch.from_numpy(example.weights["fc.bias"].values[7]))
    with pytest.raises(MissingData, match="step 99"):
        example.at(99)


def test_tree__has_a_node_for_each_tensor(example):
    tree = example.tree
    assert tree["weights/fc.weight"]["value"].dims == ("step", "out", "in")
    assert tree["gradients/fc.weight"].sizes["step"] == 20
    assert tree["metrics"]["loss"].sizes["step"] == 20


def test_weights__name_what_is_there(example):
    with pytest.raises(KeyError):
        example.weights["nope"]
    assert "fc.weight (3, 16)" in repr(example.weights)


def test_open__a_folder_of_runs_and_a_result_say_what_they_are(example, tmp_path):
    from trajlab.running.compute import write

    for name in ("a", "b"):
        trajlab.pack(example, tmp_path / "runs" / f"{name}.zarr")
    with pytest.raises(MissingData, match="folder of runs: a, b"):
        trajlab.open(tmp_path / "runs")
    assert list(trajlab.runs_in(tmp_path / "runs")) == ["a", "b"]
    write({tmp_path / "drift.zarr": trajlab.run("drift", example)})
    with pytest.raises(MissingData, match="it is the result of drift"):
        trajlab.open(tmp_path / "drift.zarr")


def test_runs_in__are_in_the_order_of_the_numbers_in_their_names(example, tmp_path):
    for name in ("adam-10", "adam-2", "10", "9", "sgd"):
        trajlab.pack(example, tmp_path / f"{name}.zarr")

    assert list(trajlab.runs_in(tmp_path)) == ["9", "10", "adam-2", "adam-10", "sgd"]


def test_runs_in__folders_of_checkpoints_that_somebody_left_behind(checkpoints, tmp_path):
    for name in ("seed-0", "seed-1"):
        checkpoints({"w": np.zeros((3, 2), np.float32)}, folder=tmp_path / "theirs" / name)
    (tmp_path / "theirs" / "logs").mkdir()
    runs = trajlab.runs_in(tmp_path / "theirs")
    assert list(runs) == ["seed-0", "seed-1"]
    drift = trajlab.run("drift", {name: trajlab.open(path) for name, path in runs.items()})
    assert drift.sizes["run"] == 2
    with pytest.raises(MissingData, match="it is a folder of runs: seed-0, seed-1. Open one of them"):
        trajlab.open(tmp_path / "theirs")


def test_runs_in__a_run_that_is_there_twice(example, checkpoints, tmp_path):
    trajlab.pack(example, tmp_path / "runs" / "one.zarr")
    checkpoints({"w": np.zeros((1, 2), np.float32)}, folder=tmp_path / "runs" / "one")
    (tmp_path / "runs" / "one" / "run.json").write_text('{"format": "trajlab-snapshots-1"}')
    with pytest.raises(BadSetting, match=r"one and one\.zarr are both the run one"):
        trajlab.runs_in(tmp_path / "runs")
