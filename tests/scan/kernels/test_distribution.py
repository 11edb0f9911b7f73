import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from trajlab.scan.block import Block, reduce
from trajlab.scan.kernels.distribution import EXACT, Distribution
from trajlab.scan.kernels.split_bins import bins_of
from trajlab.scan.track import Track

QUANTILES = (0.0, 0.05, 0.5, 0.99, 1.0)


def describe(rows, previous, reference, bins=32):
    kernel = Distribution(QUANTILES, bins)
    block = Block(Track(list(rows), previous, reference))
    ((out, edges),) = reduce([kernel], block, [kernel.prepare([reference, rows[-1]], reference)])
    actual = dict(zip(kernel.columns, out.T, strict=True))
    bars = np.stack([actual[f"bar_{i}"] for i in range(bins)], axis=1)
    quantiles = np.stack([actual[f"quantile_{i}"] for i in range(len(QUANTILES))], axis=1)
    return actual, bars, quantiles, edges


def finite(row):
    return row[np.isfinite(row)].astype(np.float64)


def decile_psi(a, b):
    edges = np.sort(b)[[int(np.ceil(k * b.size / 10)) - 1 for k in range(1, 10)]]
    counts = (np.bincount(np.searchsorted(edges, x, side="left"), minlength=10) for x in (a, b))
    p, q = (np.maximum(count, 0.5) / count.sum() for count in counts)
    return ((p - q) * np.log(p / q)).sum()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [200, EXACT])
def test_spread__short_rows_are_exact(rng, dtype, size):
    rows = (rng.standard_normal((4, size)) * [[1], [2], [2.5], [1]]).astype(dtype)
    rows[2, :3] = np.nan, np.inf, -np.inf
    actual, bars, quantiles, edges = describe(rows[1:], rows[0], rows[0])
    for step, row in enumerate(rows[1:]):
        w, r, p = finite(row), finite(rows[0]), finite(rows[step])
        np.testing.assert_allclose(quantiles[step], np.quantile(w, QUANTILES), rtol=1e-6)
        assert actual["reference_wasserstein"][step] == pytest.approx(stats.wasserstein_distance(w, r), rel=1e-9)
        assert actual["reference_ks"][step] == pytest.approx(stats.ks_2samp(w, r).statistic, rel=1e-12)
        assert actual["previous_wasserstein"][step] == pytest.approx(stats.wasserstein_distance(w, p), rel=1e-9)
        assert actual["previous_ks"][step] == pytest.approx(stats.ks_2samp(w, p).statistic, rel=1e-12)
        assert actual["reference_psi"][step] == pytest.approx(decile_psi(w, r), rel=1e-9)
        np.testing.assert_array_equal(bars[step], np.histogram(w, edges)[0])
    expected = jensenshannon(bars[2], bars[1], base=2)
    assert actual["previous_js"][2] == pytest.approx(expected, rel=1e-9)


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


@pytest.mark.parametrize("size", [1000, 50_000])
def test_spread__of_discrete_values_is_exact(size):
    signs = np.repeat(np.array([-1.0, 1.0], np.float32), size // 2)
    actual, _, quantiles, _ = describe([signs, np.roll(signs, 1), np.abs(signs)], None, signs)
    assert quantiles[0].tolist() == [-1, -1, 0, 1, 1]
    assert actual["reference_ks"].tolist() == [0, 0, 0.5]
    assert actual["reference_wasserstein"].tolist() == [0, 0, 1]
    levels = np.tile(np.arange(-128, 128, dtype=np.float32) / 100, size // 256)
    _, _, quantiles, _ = describe([levels], None, levels)
    np.testing.assert_allclose(quantiles[0], np.quantile(levels.astype(np.float64), QUANTILES), rtol=1 / 128)


@pytest.mark.parametrize("size", [50, 2 * EXACT])
def test_spread__a_row_that_does_not_change_has_no_distance(rng, size):
    row = rng.standard_normal(size).astype(np.float32)
    actual, *_ = describe([row], row, row)
    for name in ("wasserstein", "ks", "js", "psi"):
        assert actual[f"reference_{name}"][0] == actual[f"previous_{name}"][0] == 0


@pytest.mark.parametrize("size", [50, 2 * EXACT])
def test_spread__rows_without_a_finite_entry_have_no_quantile_and_no_distance(size):
    actual, bars, quantiles, _ = describe([np.full(size, np.nan, np.float32)], None, np.zeros(size, np.float32))
    assert np.isnan(quantiles).all()
    assert np.isnan(actual["reference_ks"][0])
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
    actual, bars, quantiles, _ = describe(rows, zeros, zeros)
    assert (quantiles == 0).all()
    np.testing.assert_array_equal(bars.max(1), size)
    for name in ("wasserstein", "ks", "js", "psi"):
        assert (actual[f"reference_{name}"] == 0).all() and (actual[f"previous_{name}"] == 0).all()


def test_spread__same_shares_of_long_rows_are_no_distance(rng):
    row = rng.standard_normal(2 * EXACT + 7).astype(np.float32)
    actual, *_ = describe([row], row[::-1].copy(), np.tile(row, 3))
    assert actual["reference_ks"][0] == actual["previous_ks"][0] == 0
