import numpy as np
import pytest
import torch
from torch import nn

from tests.replays.test_trace import Attending, Mixed
from trajlab.errors import BadSetting
from trajlab.replays.layers import layer_of, select_layers
from trajlab.replays.trace import trial


@pytest.fixture(scope="module")
def calls():
    return trial(Mixed().eval(), torch.zeros(2, 1, 5, 5)).calls


def names(chosen):
    return [call.key.name for call in chosen]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["fc", "conv"], ["conv", "fc"]), (["relu"], ["relu", "relu:1"]), (["relu:1"], ["relu:1"]),
        (["*c*"], ["conv", "fc"]), ([""], [""]), (["input"], ["input"]), (["fc", "fc"], ["fc"]), (["t?nh"], ["tanh"]),
    ],
)  # fmt: skip
def test_select_layers__by_name_and_pattern_in_the_order_of_the_pass(calls, patterns, expected):
    assert names(select_layers(calls, patterns)) == expected


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ("activations", ["relu", "relu:1", "tanh"]),
        ("nonlinearities", ["relu", "relu:1", "tanh", "softmax"]),
        ("convolutions", ["conv"]),
        ("units", ["conv", "fc"]),
        ("modules", ["conv", "relu", "relu:1", "fc"]),
    ],
)
def test_select_layers__of_a_kind(calls, of, expected):
    assert names(select_layers(calls, None, of)) == expected


def test_select_layers__without_an_activation_are_modules_with_units_but_the_last():
    linear = nn.Sequential(nn.Linear(3, 4), nn.Identity(), nn.Linear(4, 2))
    assert names(select_layers(trial(linear, torch.zeros(2, 3)).calls, None)) == ["0"]


def test_select_layers__tensors_beside_the_first_have_numbers_in_brackets():
    calls = trial(Attending().eval(), torch.zeros(3, 4, 6)).calls
    assert names(select_layers(calls, ["attention[1]"])) == ["attention[1]"]
    assert names(select_layers(calls, ["attention"])) == ["attention"]


def test_select_layers__says_what_there_is(calls):
    with pytest.raises(BadSetting, match="'rel'.*did you mean relu"):
        select_layers(calls, ["rel"])
    with pytest.raises(BadSetting, match="of='all'.*activations, nonlinearities"):
        select_layers(calls, None, "all")


def test_layer_of__says_what_feeds_a_layer_and_what_it_is(calls):
    of = {call.key.name: layer_of(call, calls) for call in calls}
    conv, relu, tanh = of["conv"], of["relu:1"], of["tanh"]
    assert (conv.dims, conv.shape, conv.input_shape, conv.dtype) == (
        ("unit", "y", "x"),
        (4, 3, 3),
        (1, 5, 5),
        np.float32,
    )
    assert (conv.attrs["kernel"], conv.attrs["padding"], conv.attrs["groups"]) == ([3, 3], [[0, 0], [0, 0]], 1)
    assert relu.attrs["source"] == "conv" and relu.attrs["rectified"] and relu.attrs["activation"]
    assert (tanh.attrs["source"], tanh.attrs["function"], tanh.attrs["rectified"]) == ("fc", "tanh", False)
    assert of["softmax"].attrs["softmax_axis"] == 0 and not conv.attrs["activation"]
    assert of["input"].dims == ("unit", "y", "x") and of["input"].attrs["module_class"] == ""


@pytest.mark.parametrize(
    ("module", "shape", "dims"),
    [
        (nn.Linear(3, 2), (4, 3), ("unit",)),
        (nn.Linear(3, 2), (4, 7, 3), ("position", "unit")),
        (nn.Linear(3, 2), (4, 7, 6, 3), ("position_0", "position_1", "unit")),
        (nn.Conv1d(3, 2, 1), (4, 3, 7), ("unit", "x")),
        (nn.Conv3d(3, 2, 1), (4, 3, 7, 7, 7), ("unit", "z", "y", "x")),
    ],
)
def test_layer_of__names_axes_by_where_the_units_are(module, shape, dims):
    calls = trial(nn.Sequential(module), torch.zeros(shape)).calls
    assert layer_of(next(call for call in calls if call.key.name == "0"), calls).dims == dims


def test_layer_of__constants_of_an_activation_are_attrs():
    calls = trial(
        nn.Sequential(nn.Hardtanh(-2.0, 3.0), nn.Threshold(0.0, 0.0), nn.Threshold(1.0, 0.0)), torch.zeros(2, 3)
    ).calls
    bounded, zero, one = (layer_of(call, calls) for call in calls if call.key.name in "012" and call.key.name)
    assert (bounded.attrs["min_val"], bounded.attrs["max_val"]) == (-2, 3)
    assert (zero.attrs["rectified"], one.attrs["rectified"], one.attrs["threshold"]) == (True, False, 1)
