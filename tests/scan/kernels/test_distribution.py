import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from trajlab.scan.block import Block, reduce
from trajlab.scan.kernels.distribution import EXACT, Distribution
from trajlab.scan.kernels.histogram import EDGES
from trajlab.scan.track import Track

QUANTILES = (0.0, 0.05, 0.5, 0.99, 1.0)


def describe(rows, previous, reference, bins=32):
    kernel = Distribution(QUANTILES, bins)
    block = Block(Track(list(rows), previous, reference))
    ((out, edges),) = reduce([kernel], block, [kernel.prepare([reference, rows[-1]], reference)])
    found = dict(zip(kernel.columns, out.T, strict=True))
    bars = np.stack([found[f"bar_{i}"] for i in range(bins)], axis=1)
    quantiles = np.stack([found[f"quantile_{i}"] for i in range(len(QUANTILES))], axis=1)
    return found, bars, quantiles, edges


def finite(row):
    return row[np.isfinite(row)].astype(np.float64)


def decile_psi(a, b):
    edges = np.sort(b)[[int(np.ceil(k * b.size / 10)) - 1 for k in range(1, 10)]]
    p, q = (np.bincount(np.searchsorted(edges, x, side="left"), minlength=10) / x.size for x in (a, b))
    return ((p - q) * np.log(p / q)).sum()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [200, EXACT])
def test_spread__short_rows_are_exact(rng, dtype, size):
    rows = (rng.standard_normal((4, size)) * [[1], [2], [2.5], [1]]).astype(dtype)
    rows[2, :3] = np.nan, np.inf, -np.inf
    found, bars, quantiles, edges = describe(rows[1:], rows[0], rows[0])
    for step, row in enumerate(rows[1:]):
        w, r, p = finite(row), finite(rows[0]), finite(rows[step])
        np.testing.assert_allclose(quantiles[step], np.quantile(w, QUANTILES), rtol=1e-6)
        assert found["reference_wasserstein"][step] == pytest.approx(stats.wasserstein_distance(w, r), rel=1e-9)
        assert found["reference_ks"][step] == pytest.approx(stats.ks_2samp(w, r).statistic, rel=1e-12)
        assert found["previous_wasserstein"][step] == pytest.approx(stats.wasserstein_distance(w, p), rel=1e-9)
        assert found["previous_ks"][step] == pytest.approx(stats.ks_2samp(w, p).statistic, rel=1e-12)
        assert found["reference_psi"][step] == pytest.approx(decile_psi(w, r), rel=1e-9)
        np.testing.assert_array_equal(bars[step], np.histogram(w.astype(np.float32).astype(np.float64), edges)[0])
    expected = jensenshannon(bars[2], bars[1], base=2)
    assert found["previous_js"][2] == pytest.approx(expected, rel=1e-9)


def test_spread__long_rows_keep_their_bounds(rng):
    rows = (rng.standard_t(4, (3, 4 * EXACT)) * [[1], [1.1], [1]]).astype(np.float32)
    rows[1, 7] = np.nan
    found, bars, quantiles, edges = describe(rows[1:], rows[0], rows[0])
    w, r = finite(rows[1]), finite(rows[0])
    np.testing.assert_allclose(quantiles[0], np.quantile(w, QUANTILES), rtol=1 / 128, atol=1e-4)
    bound = (abs(w).mean() + abs(r).mean()) / 256
    assert abs(found["reference_wasserstein"][0] - stats.wasserstein_distance(w, r)) <= bound
    fullest = max(np.histogram(x, EDGES)[0].max() / x.size for x in (w, r))
    assert abs(found["reference_ks"][0] - stats.ks_2samp(w, r).statistic) <= fullest
    np.testing.assert_array_equal(bars[0], np.histogram(w, edges)[0])
    assert found["reference_psi"][0] == pytest.approx(decile_psi(w, r), abs=0.01)


@pytest.mark.parametrize("size", [50, 2 * EXACT])
def test_spread__a_row_that_does_not_change_has_no_distance(rng, size):
    row = rng.standard_normal(size).astype(np.float32)
    found, *_ = describe([row], row, row)
    for name in ("wasserstein", "ks", "js", "psi"):
        assert found[f"reference_{name}"][0] == found[f"previous_{name}"][0] == 0


@pytest.mark.parametrize("size", [50, 2 * EXACT])
def test_spread__rows_without_a_finite_entry_have_no_quantile_and_no_distance(size):
    found, bars, quantiles, _ = describe([np.full(size, np.nan, np.float32)], None, np.zeros(size, np.float32))
    assert np.isnan(quantiles).all()
    assert np.isnan(found["reference_ks"][0])
    assert bars.sum() == 0


@pytest.mark.parametrize("size", [50, 2 * EXACT])
def test_spread__a_constant_row_falls_into_one_bin(size):
    rows = np.full((2, size), 3.0, np.float32)
    _, bars, quantiles, _ = describe(rows, None, rows[0])
    assert (bars == size).sum() == 2
    np.testing.assert_allclose(quantiles, 3.0, rtol=1 / 128)


@pytest.mark.parametrize("size", [50, 2 * EXACT])
def test_spread__how_steps_are_blocked_changes_no_bit(rng, size):
    rows = rng.standard_normal((7, size)).astype(np.float32)
    kernel = Distribution(QUANTILES, 16)
    shared = [kernel.prepare([rows[0], rows[-1]], rows[2])]
    ((whole, _),) = reduce([kernel], Block(Track(list(rows))), shared)
    parts = [
        reduce([kernel], Block(Track(list(rows[:3]))), shared),
        reduce([kernel], Block(Track(list(rows[3:]), rows[2])), shared),
    ]
    np.testing.assert_array_equal(whole, np.concatenate([out for ((out, _),) in parts]))


@pytest.mark.parametrize("size", [50, 2 * EXACT])
def test_spread__values_beyond_single_precision_fall_into_the_outermost_bins(size):
    rows = np.ones((2, size))
    rows[:, :2] = 1e40, -1e300
    _, bars, _, _ = describe(rows, None, rows[0])
    assert bars.sum(axis=1).tolist() == [size, size]
    assert bars[0, 0] == 1


@pytest.mark.parametrize("size", [50, 2 * EXACT])
def test_spread__both_zeros_are_one_value(size):
    zeros = np.zeros(size, np.float32)
    rows = [np.where(np.arange(size) < size // 3, np.float32(-0.0), zeros), -zeros]
    found, bars, quantiles, _ = describe(rows, zeros, zeros)
    assert (quantiles == 0).all()
    np.testing.assert_array_equal(bars.max(1), size)
    for name in ("wasserstein", "ks", "js", "psi"):
        assert (found[f"reference_{name}"] == 0).all() and (found[f"previous_{name}"] == 0).all()


def test_spread__same_shares_of_long_rows_are_no_distance(rng):
    row = rng.standard_normal(2 * EXACT + 7).astype(np.float32)
    found, *_ = describe([row], row[::-1].copy(), np.tile(row, 3))
    assert found["reference_ks"][0] == found["previous_ks"][0] == 0
