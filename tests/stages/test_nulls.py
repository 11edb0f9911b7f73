"""What chance gives, simulated under the hypothesis of each null: few entries and ties included.

Other nulls are simulated beside what computes them: walks in tests/scan/kernels/test_gram.py, shuffled matches in
tests/stages/comparison/test_unit_matching.py, flip rates in test_sign_flips.py, distances of distributions in
test_distribution.py.
"""

import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.replays.observers.channel_statistics import chance_variation
from trajlab.scan.kernels.power_law import FACTS, facts
from trajlab.scan.kernels.singular_values import singular_values
from trajlab.stages.correlation import correlation
from trajlab.stages.filters import NOISE, filters

ENTRIES = {
    "normal": lambda rng, *shape: rng.standard_normal(shape),
    "signs": lambda rng, *shape: rng.choice([-1.0, 1.0], shape),
    "three values": lambda rng, *shape: rng.choice([-1.0, 0.0, 1.0], shape),
}


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_update_cosine_null__is_the_spread_of_cosines_of_random_directions(rng, kind, size):
    """Many tensors, each an independent pair of directions."""
    moves = ENTRIES[kind](rng, 2, 600, size)
    runs = {
        name: trajlab.from_arrays({f"w{i}": np.stack([np.zeros(size), move]) for i, move in enumerate(of_run)})
        for name, of_run in zip("ab", moves, strict=True)
    }
    result = trajlab.run("comparison", runs).compute().sel(run="a", other="b").isel(step=-1)
    spread = np.sqrt((result.update_cosine**2).mean())
    np.testing.assert_allclose(spread, 1 / np.sqrt(size), rtol=0.12)
    np.testing.assert_allclose(result.update_cosine_null, 1 / np.sqrt(size))


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("samples", [5, 10, 100])
def test_absolute_null__is_the_mean_correlation_of_independent_features(rng, kind, samples):
    features = xr.DataArray(ENTRIES[kind](rng, 1, samples, 300), {"step": [0]}, ("step", "sample", "unit"))
    result = correlation(lambda layers=None, probe=None: {"layer": features}, shuffles=0).compute()
    assert result.absolute_null == pytest.approx(result.absolute_off_diagonal.item(), rel=0.06)


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize(("shape", "cases"), [((1, 1, 3, 3), 400), ((4, 4, 3, 3), 400), ((16, 3, 5, 5), 200)])
def test_neighbor_noise__bounds_95_percent_of_noise(rng, kind, shape, cases):
    weight = trajlab.from_arrays({"w": ENTRIES[kind](rng, cases, *shape)}).weights
    result = filters(weight, max_steps=cases, max_filters=shape[0]).compute()
    beyond = abs(result.neighbor_correlation) > result.neighbor_noise
    assert result.neighbor_noise < NOISE and 0.005 < beyond.mean() < 0.085


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (4, 4), (10, 3), (30, 10), (60, 60)])
def test_mp_threshold__is_exceeded_by_one_matrix_of_noise_in_a_hundred(rng, kind, shape):
    spikes = []
    for _ in range(200):
        out = np.empty(len(FACTS))
        facts(singular_values(ENTRIES[kind](rng, *shape)), *shape, 0.0, out)
        spikes.append(out[FACTS.index("mp_spikes")] > 0)
    assert np.mean(spikes) <= 0.025


@pytest.mark.parametrize("samples", [3, 24])
@pytest.mark.parametrize("channels", [3, 40])
@pytest.mark.parametrize("levels", [2, 5])
def test_channel_noise__is_the_variation_of_channels_with_ties(rng, samples, channels, levels):
    draws = rng.integers(1, 1 + levels, (800, samples, channels)).astype(float)
    means = draws.mean(1)
    bounds = np.array([chance_variation(draw) for draw in draws])
    beyond = (means.std(1) / means.mean(1) > bounds)[np.isfinite(bounds)]
    assert 0.01 < beyond.mean() < 0.085
