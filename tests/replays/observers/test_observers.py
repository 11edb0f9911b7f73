"""The small observers, which copy or average: outputs, pooled, pruned, sampled_outputs and grad_cam."""

import numpy as np
import pytest

from tests.replays.observers.folding import folded, layer
from trajlab.replays.observers.grad_cam import GradCam, has_maps
from trajlab.replays.observers.observer import Objective
from trajlab.replays.observers.outputs import Outputs
from trajlab.replays.observers.pooled import Pooled
from trajlab.replays.observers.pruned import Pruned
from trajlab.replays.observers.sampled_outputs import SampledOutputs

MAPS = layer("conv", (2, 2, 2), ("unit", "y", "x"), module_class="Conv2d")
TOKENS = layer("tokens", (4, 2), ("position", "unit"))


@pytest.fixture
def maps(rng):
    return rng.standard_normal((5, 2, 2, 2)).astype(np.float32)


@pytest.fixture
def tokens(rng):
    return rng.standard_normal((5, 4, 2)).astype(np.float32)


@pytest.mark.parametrize("batch", [1, 2, 5, 9])
def test_outputs__are_those_of_all_batches(maps, tokens, batch):
    results, described = folded(Outputs(), [MAPS, TOKENS], [maps, tokens], batch=batch)
    np.testing.assert_array_equal(results["conv"], maps)
    np.testing.assert_array_equal(results["tokens"], tokens)
    assert described["tokens"].dims == ("sample", "position", "unit") and described["conv"].dtype == np.float32
    assert described["conv"].attrs == {"module_class": "Conv2d"}


def test_pooled__is_the_mean_of_a_unit_over_its_positions(maps, tokens):
    maps[1, 0, 0, 0], maps[2, 1] = np.nan, np.float32(3e38)
    maps[3, 1] = np.inf
    results, _ = folded(Pooled(), [MAPS, TOKENS], [maps, tokens])
    means = maps.astype(float).mean((2, 3))
    np.testing.assert_allclose(results["conv"], np.where(np.isfinite(means), means, np.nan))
    np.testing.assert_allclose(results["tokens"], tokens.astype(float).mean(1), rtol=1e-6)
    assert results["conv"].dtype == np.float64


def test_pruned__counts_the_zeros_of_weights_once(maps):
    parameters = {"w": np.array([[0.0, 1], [0, 0]]), "b": np.zeros(7), "k": np.ones((1, 1, 2))}
    results, _ = folded(Pruned(), [MAPS], [maps], parameters=parameters)
    assert results["zeros"] == 3 and results["entries"] == 6
    np.testing.assert_array_equal(results["conv"], maps)


@pytest.mark.parametrize(("values", "positions"), [(1000, 4), (10, 2), (5, 1), (1, 1)])
def test_sampled_outputs__are_at_the_same_positions_of_every_sample_and_unit(maps, tokens, values, positions):
    results, _ = folded(SampledOutputs(values), [MAPS, TOKENS], [maps, tokens])
    picked = results["conv"]
    flat = maps.reshape(5, 2, 4)
    assert picked.shape == (2, 5, positions)
    places = [position for position in range(4) if (flat[0, 0, position] == picked[0, 0]).any()]
    np.testing.assert_array_equal(picked, flat[:, :, places].swapaxes(0, 1))
    np.testing.assert_array_equal(results["tokens"], tokens[:, places].transpose(2, 0, 1))


def test_grad_cam__by_hand():
    """Two units with slopes of mean 1 and −2 over the map, and maps [1, 3] and [1, 1]: 1 − 2 < 0, and 3 − 2 = 1."""
    values = np.array([[[[1, 3]], [[1, 1]]]], np.float32)
    slopes = np.array([[[[0, 2]], [[-2, -2]]]], np.float32)
    wide = layer("conv", (2, 1, 2), ("unit", "y", "x"))
    results, _ = folded(GradCam(), [wide, layer("fc", (2,))], [values, np.ones((1, 2))], gradients=[slopes, slopes])
    assert list(results) == ["conv"] and results["conv"].tolist() == [[[0, 1]]]
    broken, _ = folded(GradCam(Objective("p_logit")), [wide], [values * np.nan], gradients=[slopes])
    assert np.isnan(broken["conv"]).all()


def test_has_maps__not_units_alone_nor_tokens_nor_the_attention_of_heads():
    heads = layer("attention", (2, 4, 4), ("unit", "query", "key"))
    assert [has_maps(of) for of in (MAPS, TOKENS, layer(), heads)] == [True, False, False, False]
