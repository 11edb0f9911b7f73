import numpy as np
import pytest

from trajlab.scan.block import Block, reduce
from trajlab.scan.kernels.distribution import EXACT, Distribution
from trajlab.scan.track import Track

QUANTILES = (0.0, 0.05, 0.5, 0.99, 1.0)


def describe(rows, previous, reference, bins=32):
    kernel = Distribution(QUANTILES, bins)
    block = Block(Track(list(rows), previous, reference))
    ((out, edges),) = reduce([kernel], block, [kernel.prepare(Block(Track([reference, rows[-1]], None, reference)))])
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
    shared = [kernel.prepare(Block(Track([rows[0], rows[-1]], None, rows[2])))]
    ((whole, edges),) = reduce([kernel], Block(Track(list(rows), None, rows[2])))
    parts = [
        reduce([kernel], Block(Track(list(rows[:3]))), shared),
        reduce([kernel], Block(Track(list(rows[3:]), rows[2])), shared),
    ]
    np.testing.assert_array_equal(whole, np.concatenate([out for ((out, _),) in parts]))
    for ((_, edges_of_part),) in parts:
        np.testing.assert_array_equal(edges, edges_of_part)


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
