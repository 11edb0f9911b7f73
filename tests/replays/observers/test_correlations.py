import numpy as np
import pytest

from tests.replays.observers.folding import folded, layer
from trajlab.replays.observers.correlations import COUNTS, Correlations
from trajlab.statistics.correlation import PAIRS

MAPS = layer("conv", (2, 1, 2), ("unit", "y", "x"))


def test_correlations__are_those_of_mean_activations(rng):
    maps, units = rng.standard_normal((8, 2, 1, 2)), rng.standard_normal((8, 3))
    units[:, 2] = 5

    results, described = folded(Correlations(), [MAPS, layer("")], [maps, units], batch=3)

    features = np.hstack([maps.mean((2, 3)), units])
    np.testing.assert_allclose(results["features"], features)
    expected = np.corrcoef(features[:, :4].T)
    signed, absolute = (results["pairs"][..., PAIRS.index(name)] for name in ("signed", "absolute"))
    np.testing.assert_allclose(signed[0, 1], expected[:2, 2:].sum())
    np.testing.assert_allclose(absolute[1, 1], abs(expected[2:, 2:]).sum())
    counts = dict(zip(COUNTS, results["counts"].T.tolist(), strict=True))
    assert counts == {"features": [2, 2], "constant": [0, 1], "nonfinite": [0, 0]}
    assert described["pairs"].coords["layer"].tolist() == ["conv", "output"]


@pytest.mark.parametrize("batch", [1, 8])
def test_correlations__count_every_activation_that_is_not_finite(rng, batch):
    maps = rng.standard_normal((8, 2, 1, 2))
    maps[0, 0], maps[5, 1, 0, 1] = np.nan, np.inf
    results, _ = folded(Correlations(), [MAPS], [maps], batch=batch)
    assert results["counts"][0].tolist() == [0, 0, 3] and results["pairs"][0, 0, 0] == 0
