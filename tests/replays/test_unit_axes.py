"""Which axis runs over units, in networks that move axes about."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import trajlab
from tests.replays.test_function_calls import run_of
from trajlab.errors import BadSetting
from trajlab.replays.replay import replay
from trajlab.replays.unit_axes import UnitAxes, UnitAxis


class ChannelsLast(nn.Module):
    """A convolution whose maps are normalized, and rectified, with the channels last: 5 × 5 × 6."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.act, self.head = (
            nn.Conv2d(3, 6, 2, stride=2),
            nn.LayerNorm(6),
            nn.ReLU(),
            nn.Linear(6, 3),
        )
        with torch.no_grad():
            self.norm.bias[2] = -50.0

    def forward(self, x):
        return self.head(self.act(self.norm(self.conv(x).permute(0, 2, 3, 1))).mean((1, 2)))


class Back(nn.Module):
    """A convolution over 12 tokens of 12 features, transposed back before it is rectified."""

    def __init__(self):
        super().__init__()
        self.fc, self.act1 = nn.Linear(12, 12), nn.ReLU()
        self.conv, self.act2, self.head = nn.Conv1d(12, 12, 1), nn.ReLU(), nn.Linear(12, 3)
        with torch.no_grad():
            self.fc.bias[4] = self.conv.bias[7] = -50.0

    def forward(self, x):
        x = self.act1(self.fc(x))
        return self.head(self.act2(self.conv(x.transpose(1, 2)).transpose(1, 2)).mean(1))


class Windows(nn.Module):
    """Windows of 2 × 2 of a map, as rows of the batch, as in Swin; and a convolution over frames as rows."""

    def __init__(self):
        super().__init__()
        self.fc, self.conv = nn.Linear(4, 4), nn.Conv2d(4, 4, 1)
        with torch.no_grad():
            self.fc.bias[1] = self.conv.bias[3] = -50.0

    def forward(self, x):
        windows = x.reshape(len(x), 2, 2, 2, 2, 4).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, 4)
        first = torch.relu(self.fc(windows))
        return torch.relu(self.conv(first.reshape(-1, 2, 2, 4).permute(0, 3, 1, 2))).reshape(len(x), -1)


CASES = {
    "channels last": (ChannelsLast, (3, 10, 10), {"act": (6, [2])}),
    "transposed back": (Back, (12, 12), {"act1": (12, [4]), "act2": (12, [7])}),
    "windows": (Windows, (4, 4, 4), {"relu": (4, [1]), "relu:1": (4, [3])}),
}


@pytest.mark.parametrize("name", CASES)
def test_unit_axes__are_those_of_the_module_that_made_the_tensor(name):
    build, shape, expected = CASES[name]
    torch.manual_seed(1)
    model = build()
    x = 3 * torch.randn(60, *shape)
    result = trajlab.run("dead_neurons", run_of(model), model=build, probe=x).compute()
    for layer, (units, dead) in expected.items():
        actual = result.sel(layer=layer)
        assert actual.units == units
        assert np.flatnonzero(actual.dead[-1] == 1).tolist() == dead


def moved(function, tensor, axis):
    axes = UnitAxes()
    axes.set(tensor, UnitAxis(axis, 5))
    return axes.of(axes.call(function, (tensor,), {}))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x, 2),
        (lambda x: torch.Tensor.permute(x, 3, 2, 0, 1), 1),
        (lambda x: torch.Tensor.unsqueeze(x, 1), 3),
    ],
)
def test_unit_axes__follow_moves(function, expected):
    function.__name__ = "permute"
    assert moved(function, torch.zeros(2, 5, 5, 5), 2) == UnitAxis(expected, 5)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("reshape", (3, 20, 6), None), ("reshape", (3, 4, 5, 2, 3), None), ("reshape", (12, 5, 6), 2),
        ("flatten", (1, 2), 2), ("flatten", (1,), None), ("transpose", (1, 3), 1), ("mean", ((1, 2),), 1),
        ("mean", (3,), None), ("__getitem__", ((slice(None), 0),), 2), ("squeeze", (), 3), ("roll", (1, 1), 3),
    ],
)  # fmt: skip
def test_unit_axes__of_methods(name, arguments, expected):
    x, axes = torch.zeros(3, 4, 5, 6), UnitAxes()
    axes.set(x, UnitAxis(3))
    if name == "reshape" and arguments == (3, 20, 6):
        expected = 2
    actual = axes.of(axes.call(getattr(torch.Tensor, name), (x, *arguments), {}))
    assert actual == (None if expected is None else UnitAxis(expected))


def test_unit_axes__of_products_and_joined_tensors():
    axes = UnitAxes()
    x, y = torch.zeros(3, 7, 4), torch.zeros(3, 7, 6)
    axes.set(x, UnitAxis(2, 1))
    axes.set(y, UnitAxis(2, 3))
    assert axes.of(axes.call(torch.cat, ([x, y], 2), {})) == UnitAxis(2, 3)
    assert axes.of(axes.call(torch.stack, ([x, x], 1), {})) == UnitAxis(3, 1)
    assert axes.of(axes.call(torch.matmul, (x, torch.zeros(4, 4)), {})) == UnitAxis(2)
    assert axes.of(axes.call(torch.matmul, (torch.zeros(3, 5, 7), y), {})) == UnitAxis(2, 3)
    assert axes.of(axes.call(torch.matmul, (x, torch.zeros(3, 4, 7)), {})) is None
    assert axes.of(axes.call(torch.einsum, ("btc,oc->bot", x, torch.zeros(9, 4)), {})) == UnitAxis(1)
    assert axes.of(axes.call(F.linear, (torch.zeros(2, 5), torch.zeros(3, 5)), {})) == UnitAxis(1)
    assert axes.of(axes.call(F.conv1d, (torch.zeros(2, 5, 4), torch.zeros(3, 5, 1)), {})) == UnitAxis(1)


class Heads(nn.Module):
    """A rectified query of two heads: no axis runs over the units of the linear module."""

    def __init__(self):
        super().__init__()
        self.query = nn.Linear(6, 6)
        with torch.no_grad():
            self.query.bias[4] = -50.0

    def forward(self, x):
        heads = self.query(x).reshape(len(x), 5, 2, 3).transpose(1, 2)
        return torch.relu(heads).flatten(1)


def test_unit_axes__that_cannot_be_known_are_named_and_can_be_asked_for():
    torch.manual_seed(0)
    run, x = run_of(Heads()), torch.randn(30, 5, 6)
    result = trajlab.run("dead_neurons", run, model=Heads, probe=x).compute()
    assert np.isnan(result.dead).all() and np.isnan(result.fraction_dead).all()
    assert "unit-axis" in result.dead_at.item()
    actual = trajlab.run("saturation", run, model=Heads, probe=x).compute()
    assert np.isnan(actual.saturated).all() and 0 < actual.fraction_saturated.item() < 1
    alerts = trajlab.run("alerts", run, model=Heads, probe=x).compute()
    assert alerts.checked.sel(rule="DeadRelu") == 0

    asked = trajlab.run("dead_neurons", run, model=Heads, probe=x, unit_axis=["relu=-1"]).compute()
    assert asked.units.item() == 3 and asked.fraction_dead.item() == 0
    heads = trajlab.run("dead_neurons", run, model=Heads, probe=x, unit_axis=["1"]).compute()
    assert heads.units.item() == 2


@pytest.mark.parametrize("entry", ["relu=last", "relu=0", "relu=4", "x"])
def test_unit_axes__that_are_none_are_refused(entry):
    with pytest.raises(BadSetting, match="unit axis"):
        replay(run_of(Heads()), model=Heads(), probe=torch.randn(3, 5, 6), unit_axis=[entry])


@pytest.mark.parametrize("entry", ["act9=1", "nothing*=1", "fc2=-1"])
def test_unit_axis__of_a_layer_that_is_not_there_is_refused(entry):
    model, x = Back().eval(), torch.randn(4, 12, 12)
    with pytest.raises(BadSetting, match=rf"cannot use unit axis '{re.escape(entry)}'.*(act1|fc)"):
        trajlab.replay(run_of(model), model=model, probe=x, unit_axis=[entry])
    assert trajlab.replay(run_of(model), model=model, probe=x, unit_axis=["act1=-1", "-1"])["act1"].dims[-1] == "unit"
