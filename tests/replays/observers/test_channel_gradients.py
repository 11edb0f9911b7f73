"""The fold by itself; its numbers of whole networks are held in tests/stages/test_channel_gradients.py."""

import numpy as np
import pytest

from tests.replays.observers.folding import folded, layer
from trajlab.errors import BadSetting
from trajlab.replays.observers.channel_gradients import (
    OF_INPUTS,
    OF_OUTPUTS,
    ChannelGradients,
    EachChannelGradient,
    convolution_of,
)
from trajlab.replays.observers.channel_statistics import STATISTICS

LINEAR = layer("fc", (2,), module_class="Linear", input_shape=(3,))
WEIGHT = np.array([[1.0, -2, 0], [3, 0, -4]], np.float32)


def gradients(rng, samples=4):
    return rng.standard_normal((samples, 2)).astype(np.float32)


@pytest.mark.parametrize("batch", [1, 3, 4])
def test_channel_gradients__of_a_linear_layer_are_products_of_weight_and_gradient(rng, batch):
    """LG_ij = G_i K_ij: one position, so that |LG| sums to |G_i| Σ_j |K_ij|, and the net to |Σ_i G_i K_ij|."""
    g = gradients(rng)
    results, described = folded(
        EachChannelGradient(), [LINEAR], [g[:, :0]], gradients=[g], parameters={"weight": WEIGHT}, batch=batch
    )
    local = g.astype(float)[:, :, None] * WEIGHT
    outputs = dict(zip(OF_OUTPUTS, results["fc|unit|sample"], strict=True))
    inputs = dict(zip(OF_INPUTS, results["fc|input_unit|sample"], strict=True))
    np.testing.assert_allclose(outputs["em_sum"], abs(local).sum(2), rtol=1e-5)
    np.testing.assert_allclose(outputs["em_l2"], np.sqrt((local**2).sum(2)), rtol=1e-5)
    np.testing.assert_allclose(outputs["ab_out"], abs(g), rtol=1e-5)
    np.testing.assert_allclose(inputs["ab_sum"], abs(local).sum(1), rtol=1e-5)
    np.testing.assert_allclose(inputs["ab_net"], abs(local.sum(1)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(results["fc|norm"], [5**0.5, 5], rtol=1e-6)
    means = results["fc|unit"][OF_OUTPUTS.index("em_sum"), STATISTICS.index("mean")]
    np.testing.assert_allclose(means, abs(local).sum(2).mean(0), rtol=1e-5)
    assert described["fc|input_unit"].shape == (len(OF_INPUTS), len(STATISTICS), 3) and results["fc|nonfinite"] == 0


def test_channel_gradients__count_what_is_not_finite_and_leave_it_out(rng):
    g = gradients(rng)
    g[1, 0] = np.nan
    results, _ = folded(ChannelGradients(), [LINEAR], [g[:, :0]], gradients=[g], parameters={"weight": WEIGHT})
    # of one output channel, and of all inputs: a gradient of NaN times a weight of 0 is NaN, too
    assert results["fc|nonfinite"] == len(OF_OUTPUTS) + WEIGHT.shape[1] * len(OF_INPUTS)
    mean = results["fc|unit"][OF_OUTPUTS.index("ab_out"), STATISTICS.index("mean"), 0]
    assert mean == pytest.approx(abs(np.delete(g[:, 0], 1)).mean(), rel=1e-5)


def test_channel_gradients__a_weight_that_is_made_of_others_is_named(rng):
    g = gradients(rng)
    with pytest.raises(BadSetting, match="of fc: it has no parameter `weight` but weight_g, weight_v"):
        parameters = {"weight_g": WEIGHT, "weight_v": WEIGHT}
        folded(ChannelGradients(), [LINEAR], [g], gradients=[g], parameters=parameters)


def test_convolution_of__convolutions_and_linear_layers_on_any_positions():
    attrs = {"kernel": (3, 1), "stride": (2, 1), "padding": ((1, 1), (0, 0)), "dilation": (1, 1)}
    attrs |= {"padding_mode": "zeros", "transposed": False}
    conv = layer("conv", (4, 5, 7), ("unit", "y", "x"), input_shape=(2, 9, 7), **attrs)
    convolution = convolution_of(conv)
    assert (convolution.size, convolution.out, convolution.kernel) == ((9, 7), (5, 7), (3, 1))
    assert convolution_of(LINEAR).size == (1,)
    tokens = layer("fc", (6, 2), ("position", "unit"), module_class="Linear", input_shape=(6, 3))
    assert convolution_of(tokens).out == (6,)
    with pytest.raises(BadSetting, match="relu: it is a ReLU"):
        convolution_of(layer("relu", (2,), module_class="ReLU", input_shape=(2,)))
    with pytest.raises(BadSetting, match="the network: it is a tensor of inputs"):
        convolution_of(layer(""))
