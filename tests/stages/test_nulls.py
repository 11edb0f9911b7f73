"""What chance gives, simulated under the hypothesis of each null: few entries and ties included."""

import importlib
import inspect
import pkgutil
import re

import numpy as np
import pytest
import xarray as xr

import trajlab
import trajlab.stages
from tests.replays.observers import test_channel_statistics
from tests.scan.kernels import test_gram, test_subspaces
from tests.stages import test_distribution, test_projection, test_sign_flips
from trajlab.replays.observers.channel_statistics import chance_variation
from trajlab.scan.kernels.gram import centered, gram, principal, walk
from trajlab.scan.kernels.power_law import FACTS, facts
from trajlab.scan.kernels.singular_values import singular_values
from trajlab.stages.comparison import comparison
from trajlab.stages.comparison.unit_matching import MATCHES, matches
from trajlab.stages.correlation import correlation
from trajlab.stages.embedding.neighbors import chance, near
from trajlab.stages.filters import NOISE, filters
from trajlab.stages.sign_flips import sign_flips
from trajlab.stages.spectrum import NULLS, spectrum
from trajlab.statistics.correlation import CHANGES, changes, features_of

ENTRIES = {
    "normal": lambda rng, *shape: rng.standard_normal(shape),
    "signs": lambda rng, *shape: rng.choice([-1.0, 1.0], shape),
    "three values": lambda rng, *shape: rng.choice([-1.0, 0.0, 1.0], shape),
}


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_update_cosine_null__is_the_spread_of_cosines_of_random_directions(rng, kind, size):
    """Each step is an independent pair of directions from the start."""
    moves = ENTRIES[kind](rng, 2, 250, size)
    runs = [trajlab.from_arrays({"w": np.concatenate([np.zeros((1, size)), move])}).weights for move in moves]
    result = comparison(*runs, match_weights=False).compute().isel(step=slice(1, None))
    spread = np.sqrt((result.update_cosine**2).mean())
    np.testing.assert_allclose(spread, 1 / np.sqrt(size), rtol=0.12)
    np.testing.assert_allclose(result.update_cosine_null, 1 / np.sqrt(size))


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize(("sizes", "lengths"), [
    ((4, 4000), (1.0, 1.0)), ((4, 4000), (30.0, 1.0)), ((1, 2, 50), (1.0, 3.0, 0.0)), ((1, 1), (1.0, 1.0)),
])  # fmt: skip
def test_total_update_cosine_null__is_that_of_tensors_that_move_unequally(rng, kind, sizes, lengths):
    """The few entries of the first tensor move as far as the many of the last, or farther."""
    runs = []
    for _ in range(2):
        moves = [length * ENTRIES[kind](rng, 400, size) for size, length in zip(sizes, lengths, strict=True)]
        moves = {f"w{i}": np.concatenate([0 * move[:1], move]) for i, move in enumerate(moves)}
        runs.append(trajlab.from_arrays(moves).weights)
    result = comparison(*runs, match_weights=False).compute().isel(step=slice(1, None))
    cosine, null = result.total_update_cosine.values, result.total_update_cosine_null.values
    known = np.isfinite(cosine)
    np.testing.assert_array_equal(np.isfinite(null), known)
    np.testing.assert_allclose(np.sqrt(np.mean(cosine[known] ** 2)), np.sqrt(np.mean(null[known] ** 2)), rtol=0.12)


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


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize(("units", "samples"), [(3, 5), (8, 40)])
def test_matched_null__is_the_similarity_of_units_without_a_partner(rng, kind, units, samples):
    """Independent units match as well as shuffled ones on average, and 1 in 20 pairs of runs passes the quantile."""
    pairs = (ENTRIES[kind](rng, 2, units, samples, 1) for _ in range(150))
    best, null, null_95 = np.array(
        [[dict(zip(MATCHES, matches(*pair, shuffles=40), strict=True))[name] for name in ("best", "null", "null_95")]
         for pair in pairs]
    ).T  # fmt: skip
    known = np.isfinite(best)
    assert best[known].mean() == pytest.approx(null[known].mean(), abs=4 * best[known].std() / np.sqrt(known.sum()))
    assert 0.0 < (best > null_95)[known].mean() < 0.13


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize(("units", "samples"), [(3, 6), (8, 40)])
def test_matched_end_null__is_the_correlation_of_independent_features(rng, kind, units, samples):
    rows = []
    for _ in range(150):
        now, end = (features_of(values) for values in ENTRIES[kind](rng, 2, samples, units))
        rows.append(dict(zip(CHANGES, changes(now, now, end, shuffles=40), strict=True)))
    best, null, null_95 = (np.array([row[f"matched_end{end}"] for row in rows]) for end in ("", "_null", "_null_95"))
    known = np.isfinite(best)
    assert best[known].mean() == pytest.approx(null[known].mean(), abs=4 * best[known].std() / np.sqrt(known.sum()))
    assert 0.0 < (best > null_95)[known].mean() < 0.13


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize(("shape", "cases"), [((1, 1, 3, 3), 300), ((8, 4, 3, 3), 300)])
def test_neighbor_chance__is_passed_by_training_of_random_signs_in_5_percent(rng, kind, shape, cases):
    """Smooth filters whose weights move independently: neighbors are as similar as they were at the start."""
    start = np.ones(shape) + rng.standard_normal((*shape[:2], 1, 1)) + 0.5 * rng.standard_normal(shape)
    moves = 0.7 * ENTRIES[kind](rng, cases, *shape)
    rows = np.concatenate([start[None], start + moves])
    result = filters(trajlab.from_arrays({"w": rows}).weights, max_steps=cases + 1, max_filters=shape[0]).compute()
    beyond = (result.neighbor_correlation > result.neighbor_chance)[1:]
    assert 0.005 < beyond.mean() < 0.09


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("steps", [[0, 1], [0, 1, 2], [0, 1, 9, 10], list(range(12))])
@pytest.mark.parametrize("center", ["mean", "last"])
def test_walk__is_that_of_few_steps(rng, kind, steps, center):
    moves = ENTRIES[kind](rng, steps[-1] + 1, 20_000)
    rows = list(np.cumsum(moves, axis=0)[steps])
    actual, _ = principal(centered(gram([rows], len(steps))[0], center), 3)
    np.testing.assert_allclose(actual, walk(np.array(steps), 3, center), atol=0.015)


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("shape", [(2, 2), (5, 3), (30, 10)])
def test_spectrum_nulls__are_those_of_matrices_of_noise(rng, kind, shape):
    """A matrix of independent entries is to its shuffled self as any two of them."""
    result = spectrum(trajlab.from_arrays({"w": ENTRIES[kind](rng, 300, *shape)}).weights["w"]).compute()
    for name in NULLS:
        actual, null = (result[key].values for key in (name, f"{name}_null"))
        known = np.isfinite(actual) & np.isfinite(null)
        if known.any():
            error = np.sqrt((actual[known].var() + null[known].var()) / known.sum())
            assert abs(actual[known].mean() - null[known].mean()) <= 4 * error + 1e-12, name


@pytest.mark.parametrize("points", [1, 2, 5, 1000])
@pytest.mark.parametrize(("samples", "neighbors"), [(6, 1), (30, 5), (30, 29)])
def test_knn_chance__is_not_exceeded_by_features_without_information(rng, points, samples, neighbors):
    """Features are few values, so that most neighbors are tied."""
    accuracy, bound = [], []
    for _ in range(200):
        labels = np.append(0, rng.choice(3, samples - 1, p=[0.5, 0.3, 0.2]))
        features = rng.integers(0, points, (samples, 2)).astype(float)
        accuracy.append(near(features, labels=labels, neighbors=neighbors).accuracy)
        bound.append(chance(labels))
    assert np.mean(accuracy) <= np.mean(bound) + 3 * np.std(np.subtract(accuracy, bound)) / np.sqrt(200)


def test_flip_rate_coin__is_that_of_fair_signs(rng):
    for size in (1, 3, 500):
        result = sign_flips(trajlab.from_arrays({}, {"w": rng.choice([-1.0, 1.0], (601, size))}).gradients).compute()
        coin = result.flip_rate_coin.mean().item()
        assert result.flip_rate.mean() == pytest.approx(coin, abs=2.0 / np.sqrt(600 * size))


SIMULATED = {
    r"update_cosine_null": [
        test_update_cosine_null__is_the_spread_of_cosines_of_random_directions,
        test_total_update_cosine_null__is_that_of_tensors_that_move_unequally,
    ],
    r"matched_(weights|features)_null(_95)?": [test_matched_null__is_the_similarity_of_units_without_a_partner],
    r"matched_end_null(_95)?": [test_matched_end_null__is_the_correlation_of_independent_features],
    r"absolute_null": [test_absolute_null__is_the_mean_correlation_of_independent_features],
    r"(wasserstein|ks|js|psi)_null": [
        test_distribution.test_distribution__nulls_are_those_of_two_samples_of_one_distribution
    ],
    r"neighbor_noise": [test_neighbor_noise__bounds_95_percent_of_noise],
    r"neighbor_chance": [test_neighbor_chance__is_passed_by_training_of_random_signs_in_5_percent],
    r"mp_(threshold|lower|upper)": [test_mp_threshold__is_exceeded_by_one_matrix_of_noise_in_a_hundred],
    rf"({'|'.join(NULLS)})_null": [test_spectrum_nulls__are_those_of_matrices_of_noise],
    r"(row|column)_overlap_null": [test_subspaces.test_overlap_null__is_the_mean_of_random_subspaces],
    r".*_variance_channel_noise": [
        test_channel_statistics.test_variance_alike__identical_channels_are_beyond_it_in_one_case_of_20
    ],
    r".*_channel_noise": [test_channel_noise__is_the_variation_of_channels_with_ties],
    r"knn_chance": [test_knn_chance__is_not_exceeded_by_features_without_information],
    r"flip_rate_coin": [test_flip_rate_coin__is_that_of_fair_signs],
    r"flip_rate_ar1": [
        test_sign_flips.test_sign_flips__the_null_is_exact_for_one_correlation_whatever_the_scales,
        test_sign_flips.test_sign_flips__the_null_of_discrete_gradients,
    ],
    r"direction_consistency_null": [
        test_projection.test_projection__direction_consistency_null_is_the_spread_of_random_updates
    ],
    r"explained_variance_ratio_walk": [
        test_walk__is_that_of_few_steps,
        test_gram.test_walk__is_what_a_simulated_walk_shows,
    ],
}
"""Where each null is simulated, by its name."""

NULL = re.compile(r".*_(null|null_95|noise|chance|walk|coin|ar1|threshold)|mp_(lower|upper)")


def test_nulls__each_that_a_stage_describes_is_simulated():
    described = set()
    for module in pkgutil.walk_packages(trajlab.stages.__path__, "trajlab.stages."):
        described |= {*getattr(importlib.import_module(module.name), "MEANINGS", {})}
    nulls = {name for name in described if NULL.fullmatch(name)}
    words = {name for name in described if re.search("chance|shuffled|random", name)}
    assert len(nulls) > 20
    lacking = {name for name in nulls | words if not any(re.fullmatch(pattern, name) for pattern in SIMULATED)}
    assert not lacking
    assert all(inspect.isfunction(test) for tests in SIMULATED.values() for test in tests)
    assert all(any(re.fullmatch(pattern, name) for name in nulls) for pattern in SIMULATED)
