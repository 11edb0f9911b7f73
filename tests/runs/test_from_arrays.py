import dask.array as da
import ml_dtypes
import numpy as np
import pytest
import torch
import xarray as xr

import trajlab
from trajlab.errors import BadSetting


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
        ({"weights": {"w": [[1, 2], [3]]}}, "one array of w"),
        ({"weights": {"w": np.array([["a"]])}}, "w: it holds .* not numbers"),
        ({"weights": {"w": da.ones((6, 3))[da.ones(6) > 0]}}, "w: its shape .* is unknown"),
        ({"weights": {3: np.zeros((2, 3))}}, "names are strings"),
        ({"weights": [np.zeros((2, 3))]}, "arrays by name"),
        ({"weights": {}, "metrics": {"loss": [1], "accuracy": [1, 2]}}, "the metrics"),
        ({"weights": {}, "metrics": {"loss": 1.0}}, "the metrics"),
        ({"weights": {}, "metrics": 3}, "the metrics"),
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


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e5m2])
@pytest.mark.parametrize("lazy", [False, True])
def test_from_arrays__short_floats_are_widened_and_remembered_and_can_be_packed(tmp_path, dtype, lazy):
    values = np.array([[0.5, -2], [1, 4]]).astype(dtype)
    run = trajlab.from_arrays({"w": da.from_array(values) if lazy else values})
    packed = trajlab.open(trajlab.pack(run, tmp_path / "run.zarr"))
    for array in (run.weights["w"], packed.weights["w"]):
        assert array.dtype == np.float32 and array.attrs["stored_dtype"] == np.dtype(dtype).name
        assert array.values.tolist() == [[0.5, -2], [1, 4]]


def test_from_arrays__scalars_without_steps_are_refused():
    with pytest.raises(BadSetting, match="stack the steps"):
        trajlab.from_arrays({"a": 3.0})
