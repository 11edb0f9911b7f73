import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trajlab.errors import BadSetting
from trajlab.replays.trace import makes_units, output_of, shape_for_one, trial


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.fc = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Linear(36, 5)

    def forward(self, x):
        x = self.relu(self.relu(self.conv(x)))
        return F.softmax(torch.tanh(self.fc(x.flatten(1))), -1)


def by_name(model, inputs):
    calls = trial(model.eval(), inputs).calls
    return {call.key.name: call for call in calls}


def test_trial__hears_modules_and_functions_in_the_order_in_which_they_end():
    calls = by_name(Mixed(), torch.zeros(2, 1, 5, 5))
    assert list(calls) == ["input", "conv", "relu", "relu:1", "fc", "tanh", "softmax", ""]
    assert [calls[name].shape for name in ("input", "conv", "fc", "")] == [(1, 5, 5), (4, 3, 3), (5,), (5,)]
    assert calls["conv"].is_convolution and calls["conv"].has_units and calls["conv"].input_shape == (1, 5, 5)
    assert calls["relu:1"].is_activation and calls["relu:1"].nonlinearity == "ReLU"
    assert calls["tanh"].is_activation and calls["tanh"].nonlinearity == "Tanh" and not calls["fc"].nonlinearity
    assert calls["softmax"].is_softmax and not calls["softmax"].is_activation and calls["softmax"].softmax_axis == 0
    assert calls["relu"].unit_axis == 0 and calls["relu"].units.maker == 1
    assert not calls["input"].is_called and calls[""].is_called


@pytest.mark.parametrize(
    ("shape", "samples", "expected"),
    [((4, 3), 4, (3,)), ((8, 3), 4, (2, 3)), ((4,), 4, (1,)), ((5, 3), 4, ()), ((), 4, ()), ((0, 3), 4, ())],
)
def test_shape_for_one__has_no_axis_over_samples(shape, samples, expected):
    assert shape_for_one(torch.zeros(shape), samples) == expected
    assert shape_for_one(None, samples) == ()


@pytest.mark.parametrize(
    ("module", "shape", "axis"),
    [
        (nn.Softmax(1), (3, 4), 0),
        (nn.Softmax(-1), (3, 4, 5), 1),
        (nn.Softmax2d(), (3, 4, 5, 6), 0),
        (nn.LogSoftmax(0), (3, 4), -1),
    ],
)
def test_softmax_axis__counts_without_the_samples(module, shape, axis):
    assert by_name(nn.Sequential(module), torch.zeros(shape))["0"].softmax_axis == axis


@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
@pytest.mark.parametrize(("shape", "axis"), [((3, 4), 0), ((3, 4, 5), -1), ((3, 4, 5, 6), 0)])
def test_softmax_axis__without_a_dim_is_that_of_torch(shape, axis):
    outputs = nn.Softmax()(torch.randn(shape))
    call = by_name(nn.Sequential(nn.Softmax()), torch.zeros(shape))["0"]
    assert call.softmax_axis == axis
    torch.testing.assert_close(outputs.sum(axis + 1), torch.ones_like(outputs.sum(axis + 1)))


def test_trial__names_activations_that_are_no_tensors():
    unobserved = trial(nn.Sequential(nn.LSTM(2, 3)), torch.zeros(4, 5, 2)).unobserved
    assert unobserved == ["lstm in 0"]
    assert not trial(Mixed(), torch.zeros(2, 1, 5, 5)).unobserved


def test_trial__several_outputs_of_a_module_are_numbered():
    calls = by_name(Attending(), torch.zeros(3, 4, 6))
    heads = calls["attention[1]"]
    assert heads.is_attention and heads.shape == (2, 4, 4) and heads.unit_axis == 0
    assert calls["attention"].shape == (4, 6)


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x)[0]


@pytest.mark.parametrize(
    ("module", "expected"),
    [(nn.Linear(2, 2), True), (nn.Conv1d(1, 1, 1), True), (nn.Embedding(2, 2), False), (nn.LayerNorm((2, 2)), False),
     (nn.BatchNorm1d(2), False), (nn.ReLU(), False), (None, False)],
    ids=str,
)  # fmt: skip
def test_makes_units__modules_with_a_matrix_or_kernels(module, expected):
    assert makes_units(module) == expected


def test_has_row_per_unit__not_of_a_transposed_convolution():
    layers = nn.Linear(3, 4), nn.Unflatten(1, (4, 1)), nn.ConvTranspose1d(4, 4, 2)
    calls = by_name(nn.Sequential(*layers), torch.zeros(2, 3))
    assert calls["0"].has_row_per_unit and not calls["2"].has_row_per_unit


def test_output_of__names_the_inputs_that_a_network_does_not_take():
    with pytest.raises(BadSetting, match=r"Linear with inputs of shape \[2, 3\] and type torch.float32.*probe="):
        output_of(nn.Linear(4, 1), torch.zeros(2, 3))
    assert np.shape(output_of(nn.Linear(4, 1), torch.zeros(2, 4)).detach()) == (2, 1)
