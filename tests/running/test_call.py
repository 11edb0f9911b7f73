import json

import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.errors import BadSetting
from trajlab.running.call import call_stage
from trajlab.running.inputs import Inputs
from trajlab.scan.scan import Tensor
from trajlab.schema import RESULT_VERSION

RUN = trajlab.from_arrays(
    {"fc.weight": np.arange(12.0).reshape(2, 2, 3), "fc.bias": np.ones((2, 2))}, {"fc.weight": np.ones((2, 2, 3))}
)


def called(function, run=RUN, on=None, **settings):
    return call_stage(function, Inputs("stage", on), {"": run}, settings)


def largest(weight, *, power=1):
    """Find the largest entry.

    It is large.
    """
    return (weight.max(weight.dims[1:]) ** power).rename("w")


def test_call_stage__a_stage_of_one_tensor_is_called_for_each():
    result = called(largest, power=2)
    assert result.largest.dims == ("parameter", "step") and result.largest.values.tolist() == [[25, 121], [1, 1]]
    assert result.kind.values.tolist() == [RUN.weights[name].attrs.get("kind", "") for name in RUN.weights]
    assert result.numel.values.tolist() == [6, 2] and result.parameter.values.tolist() == ["fc.weight", "fc.bias"]
    assert result.largest.attrs == {"long_name": "largest", "units": "1", "definition": "Find the largest entry."}


def test_call_stage__tensors_that_one_input_lacks_are_left_out():
    def product(weight, gradient):
        return xr.dot(weight, gradient, dim=weight.dims[1:])

    assert called(product).parameter.values.tolist() == ["fc.weight"]


def test_call_stage__a_stage_of_one_or_many_is_called_once():
    calls = []

    def count(weight: Tensor, metrics=None):
        calls.append(weight)
        return xr.Dataset({"n": len(weight)})

    assert called(count).n == 2 and len(calls) == 1 and list(calls[0]) == ["fc.weight", "fc.bias"]


def test_call_stage__says_what_made_the_result():
    attrs = called(largest, power=np.int64(3)).attrs
    assert (attrs["Conventions"], attrs["stage"], attrs["variables"]) == (RESULT_VERSION, "largest", ["largest"])
    assert json.loads(attrs["settings"]) == {"power": 3} and "on" not in attrs


def test_call_stage__on_gradients_has_their_units():
    def stage(weight):
        return xr.Dataset({"x": weight.sum(weight.dims[1:]).assign_attrs(units="weight per step")})

    result = called(stage, on="gradients")
    assert result.x.attrs["units"] == "gradient per step" and result.attrs["on"] == "gradients"
    assert result.parameter.values.tolist() == ["fc.weight"]


@pytest.mark.parametrize("value", [3, None, [1]])
def test_call_stage__a_stage_returns_a_dataset_or_an_array(value):
    def stage(weights):
        return value

    with pytest.raises(BadSetting, match=f"result of stage: it is a {type(value).__name__}; return a Dataset"):
        called(stage)
