import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trajlab.errors import BadSetting
from trajlab.replays.trace import output_of, trial


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


def test_output_of__names_the_inputs_that_a_network_does_not_take():
    with pytest.raises(BadSetting, match=r"Linear with inputs of shape \[2, 3\] and type torch.float32.*probe="):
        output_of(nn.Linear(4, 1), torch.zeros(2, 3))
    assert np.shape(output_of(nn.Linear(4, 1), torch.zeros(2, 4)).detach()) == (2, 1)
