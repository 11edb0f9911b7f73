import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.replays.observers.folding import folded, layer
from trajlab.replays.observers.saturation import Saturation
from trajlab.scan.kernels.saturation import SATURATION

RULES = Saturation()

BOTH, LOW, HIGH = (-1, 1), (-1,), (1,)

FLAT = {
    nn.Tanh(): (math.atanh(0.99), BOTH),
    nn.Sigmoid(): (math.log(0.99 / 0.01), BOTH),
    nn.Hardtanh(): (1.0, BOTH),
    nn.ELU(alpha=2.0): (math.log(100), LOW),
    nn.SELU(): (math.log(100), LOW),
    nn.CELU(): (math.log(100), LOW),
    nn.Softplus(): (-math.log(1 / 0.99 - 1), LOW),
    nn.LogSigmoid(): (-math.log(1 / 0.99 - 1), HIGH),
}
"""Distance from 0 from which on each activation is all but flat, to 1 %, and on which sides."""


@pytest.mark.parametrize("module", FLAT, ids=lambda module: type(module).__name__)
def test_rules__count_what_is_within_1_percent_of_the_limit(module):
    reach, sides = FLAT[module]
    inputs = torch.tensor([-9.0, -1.02 * reach, -0.98 * reach, 0.1, 0.98 * reach, 1.02 * reach, 9.0]).double()
    attrs = {name: getattr(module, name) for name in ("alpha", "beta", "min_val", "max_val") if hasattr(module, name)}
    of = layer("a", (7,), dtype=np.float64, nonlinearity=type(module).__name__, **attrs)

    results, _ = folded(RULES, [of], [module(inputs)[None].numpy()])

    counts = dict(zip(SATURATION, results["a"].T, strict=True))
    for name, side in (("low", -1), ("high", 1)):
        assert counts[name].tolist() == [float(side in sides and side * x > reach) for x in inputs.tolist()]


@pytest.mark.parametrize(
    ("attrs", "words", "sides"),
    [
        ({"nonlinearity": "ReLU"}, "a = 0", (True, False)),
        ({"nonlinearity": "Threshold", "value": -1.0}, "a = -1", (True, False)),
        ({"nonlinearity": "Hardshrink"}, "a = 0", (True, False)),
        ({"module_class": "QuickGELUActivation"}, "−0.001 ≤ a ≤ 0", (True, False)),
        ({"nonlinearity": "Hardtanh", "min_val": -2.0, "max_val": 3.0}, "a ≤ -2 or a ≥ 3", (True, True)),
        ({"nonlinearity": "LeakyReLU"}, "flat nowhere", (True, False)),
        ({"nonlinearity": "Threshold"}, "", (False, False)),
        ({"nonlinearity": "Softmax", "softmax_axis": 0}, "max p > 0.99", (False, True)),
        ({"nonlinearity": "Softmax", "softmax_axis": -1}, "", (False, False)),
        ({"module_class": "Linear"}, "", (False, False)),
        ({"activation": False}, "h ≤ 0, rectified later", (True, False)),
    ],
)
def test_rules__say_what_counts_on_which_side(attrs, words, sides):
    rule = RULES.rule(layer(**attrs))
    assert (rule.words, (rule.low, rule.high)) == (words, sides)


def test_rules__of_attention_sum_along_the_keys():
    heads = layer("attention", (2, 3, 5), ("unit", "query", "key"))
    assert RULES.rule(heads).softmax == 2


@pytest.mark.parametrize("logarithm", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_saturation__of_a_softmax_over_the_units_has_one_row(logarithm, batch):
    shares = np.array([[0.995, 0.005, 0], [0.98, 0.01, 0.01], [0, 1, 0]])
    kind = "LogSoftmax" if logarithm else "Softmax"
    with np.errstate(divide="ignore"):
        values = np.log(shares + 1e-30) if logarithm else shares
    results, _ = folded(RULES, [layer(nonlinearity=kind, softmax_axis=0, dtype=float)], [values], batch=batch)
    counts = dict(zip(SATURATION, results["fc"][0], strict=True))
    assert results["fc"].shape == (1, len(SATURATION)) and (counts["high"], counts["valid"]) == (2, 3)


def test_saturation__of_attention_has_a_row_for_each_head():
    maps = np.zeros((1, 2, 2, 2))
    maps[0, 0] = np.eye(2)
    maps[0, 1] = 0.5
    heads = layer("attention", (2, 2, 2), ("unit", "query", "key"), dtype=float)
    results, _ = folded(RULES, [heads], [maps])
    assert results["attention"][:, SATURATION.index("high")].tolist() == [2, 0]
    assert results["attention"][:, SATURATION.index("valid")].tolist() == [2, 2]
