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


@pytest.mark.parametrize("steps", [[0], [0, 0], [3, 1], [[0, 1]]])
def test_from_arrays__steps_must_rise(steps):
    with pytest.raises(BadSetting, match="rising steps"):
        trajlab.from_arrays({"a": np.zeros((2, 3))}, steps=steps)


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
    from trajlab.computing import write

    for name in ("a", "b"):
        trajlab.pack(example, tmp_path / "runs" / f"{name}.zarr")
    with pytest.raises(MissingData, match="folder of runs: a, b"):
        trajlab.open(tmp_path / "runs")
    assert list(trajlab.runs_in(tmp_path / "runs")) == ["a", "b"]
    write({tmp_path / "drift.zarr": trajlab.run("drift", example)})
    with pytest.raises(MissingData, match="it is the result of drift"):
        trajlab.open(tmp_path / "drift.zarr")
