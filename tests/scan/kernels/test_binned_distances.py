"""Rows that are counted in bins: the kernel of distributions on rows longer than `EXACT`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.scan.kernels.test_distribution import QUANTILES, decile_psi, describe, finite
from trajlab.scan.kernels.distribution import EXACT
from trajlab.scan.kernels.split_bins import bins_of


def quantile_bounds(values, probabilities):
    """Bound of the error of quantiles: 1/128 of the larger order statistic next to it."""
    position = np.array(probabilities) * (len(values) - 1)
    ordered = np.abs(np.sort(values))
    larger = np.maximum(ordered[np.floor(position).astype(int)], ordered[np.ceil(position).astype(int)])
    return larger / 128 * (1 + 1e-6) + 2.0**-132


def fullest(values):
    low, high, upto = bins_of(values)
    return (np.diff(upto) * (low < high)).max() / upto[-1]


def assert_bounds(rows):
    actual, bars, quantiles, edges = describe(rows[1:], rows[0], rows[0])
    w, r = finite(rows[1]), finite(rows[0])
    assert (np.abs(quantiles[0] - np.quantile(w, QUANTILES)) <= quantile_bounds(w, QUANTILES)).all()
    bound = (abs(w).mean() + abs(r).mean()) / 256 + 2.0**-132
    wasserstein = np.abs(np.sort(w) - np.sort(r)).mean() if len(w) == len(r) else stats.wasserstein_distance(w, r)
    ks = stats.ks_2samp(w, r, method="asymp").statistic
    assert abs(actual["reference_wasserstein"][0] - wasserstein) <= bound
    assert abs(actual["reference_ks"][0] - ks) <= fullest(rows[0]) + fullest(rows[1]) + 1e-9
    # float64 may be counted as float32
    near = 0
    if rows.dtype == np.float64:
        near = sum((abs(w - edge) <= 1e-7 * abs(edge) + 2.0**-132).sum() for edge in edges[1:-1])
    assert np.abs(np.cumsum(bars[0]) - np.cumsum(np.histogram(w, edges)[0])).max() <= near
    return actual, wasserstein, ks


def test_spread__long_rows_keep_their_bounds(rng):
    rows = (rng.standard_t(4, (3, 4 * EXACT)) * [[1], [1.1], [1]]).astype(np.float32)
    rows[1, 7] = np.nan
    actual, *_ = assert_bounds(rows)
    assert actual["reference_psi"][0] == pytest.approx(decile_psi(finite(rows[1]), finite(rows[0])), abs=0.01)


SHAPES = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "tied": lambda rng, size: np.where(rng.random(size) < 0.4, 0.5, rng.standard_normal(size)),
    "sparse": lambda rng, size: np.where(rng.random(size) < 0.95, 0.0, rng.standard_normal(size)),
    "discrete": lambda rng, size: rng.integers(-3, 4, size),
    "signs": lambda rng, size: np.sign(rng.standard_normal(size)),
    "modes": lambda rng, size: np.sign(rng.standard_normal(size)) + 1e-3 * rng.standard_normal(size),
    "heavy": lambda rng, size: rng.standard_cauchy(size),
    "ordered": lambda rng, size: np.sort(np.where(rng.random(size) < 0.5, 0.0, 1 + rng.random(size) / 1000)),
}


@settings(max_examples=40, deadline=None)
@given(
    shape=st.sampled_from(sorted(SHAPES)),
    center=st.sampled_from([0.0, 1.0, -1.004, 1000.0]),
    spread=st.sampled_from([1.0, 1e-2, 1e-4]),
    shift=st.sampled_from([0.0, 0.5, 10.0, 1000.0]),
    scale=st.sampled_from([1.0, 1e-41, 1e-30, 1e30]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 1000),
)
def test_spread__bounds_hold_for_any_values(shape, center, spread, shift, scale, dtype, seed):
    rng = np.random.default_rng(seed)
    rows = [center + spread * (SHAPES[shape](rng, EXACT + 1) + step * shift) for step in range(2)]
    assert_bounds(np.array(scale * np.array(rows), dtype))


@pytest.mark.parametrize("center", [1.0, 1000.0, -0.3])
@pytest.mark.parametrize("width", [1e-3, 1e-6])
def test_spread__resolution_is_relative_to_the_spread(rng, center, width):
    """Whatever the offset, and however far rows drift from the reference."""
    rows = np.stack([center * (1 + width * (rng.standard_normal(50_000) + 100 * t)) for t in range(24)])
    actual, bars, quantiles, edges = describe(rows[1:], rows[0], rows[0], bins=64)
    for step in (0, 1, 10, 22):
        np.testing.assert_allclose(quantiles[step][1:-1], np.quantile(rows[step + 1], QUANTILES)[1:-1],
                                   rtol=0, atol=abs(center) * width / 100)  # fmt: skip
        assert actual["reference_ks"][step] == actual["previous_ks"][step] == 1
        assert actual["reference_js"][step] == 1
        expected = stats.wasserstein_distance(rows[step + 1], rows[0])
        assert actual["reference_wasserstein"][step] == pytest.approx(expected, rel=1e-3)
        assert actual["previous_wasserstein"][step] == pytest.approx(100 * abs(center) * width, rel=1e-2)
    np.testing.assert_allclose(np.diff(edges[1:-1]), 23 * 100 * abs(center) * width / 64, rtol=0.6)


def test_spread__same_shares_of_long_rows_are_no_distance(rng):
    row = rng.standard_normal(2 * EXACT + 7).astype(np.float32)
    actual, *_ = describe([row], row[::-1].copy(), np.tile(row, 3))
    assert actual["reference_ks"][0] == actual["previous_ks"][0] == 0
