import numpy as np
import pytest

from trajlab.scan.block import Block
from trajlab.scan.kernels.split_bins import bins_of
from trajlab.scan.kernels.value_histogram import Histogram
from trajlab.scan.track import Track, computable


def assert_bins(bins, values):
    """Check that bins rise, and hold as many finite values as they say."""
    low, high, upto = bins
    finite = np.sort(values[np.isfinite(values)].astype(np.float64))
    assert (low <= high).all() and (high[:-1] <= low[1:]).all() and upto[0] == 0
    np.testing.assert_array_equal(np.searchsorted(finite, high, "right"), upto[1:])
    np.testing.assert_array_equal(np.searchsorted(finite, low, "left"), upto[:-1])


def counted(parts, dtype=np.float32):
    histogram = Histogram(computable(np.empty(0, dtype)).dtype)
    for part in parts:
        histogram.add(Block(Track([computable(part)])))
    return histogram.finish()


def test_bins__hold_hand_counted_values():
    bins = bins_of(np.array([1.0, 1.003, 2.0, -0.0, 0.0, np.nan, np.inf], np.float32))
    assert bins.low.tolist() == [0, 1, np.float32(1.003), 2]
    assert bins.high.tolist() == bins.low.tolist()
    assert bins.upto.tolist() == [0, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.standard_normal(n),
        lambda rng, n: 1 + 1e-4 * rng.standard_normal(n),
        lambda rng, n: 1000 + 1e-3 * rng.standard_normal(n),
        lambda rng, n: -1 + 1e-2 * rng.standard_cauchy(n),
        lambda rng, n: rng.integers(-2, 3, n),
        lambda rng, n: np.where(rng.random(n) < 0.9, 0, rng.standard_normal(n)),
        lambda rng, n: 1e37 * rng.standard_normal(n),
    ],
)
def test_bins__rise_and_count_exactly(rng, draw):
    values = draw(rng, 40_000).astype(np.float32)
    values[5], values[7] = np.nan, -np.inf
    assert_bins(bins_of(values), values)
    assert_bins(counted([values]), values)


@pytest.mark.parametrize("scale", [1e-41, 1e-60, 1e-300, 1e60, 1e300])
def test_bins__of_tiny_and_huge_values_are_split_over_their_range(rng, scale):
    values = scale * rng.standard_normal(40_000)
    values = values.astype(np.float32 if scale == 1e-41 else np.float64)
    for bins in (bins_of(values), counted([values], values.dtype)):
        assert_bins(bins, values)
        assert np.median(bins.high - bins.low) < scale / 50


def test_bins__of_zeros_alone_are_one():
    for value in (0.0, -0.0, 7.0):
        (low, high, upto) = bins_of(np.full(20_000, value, np.float32))
        assert (low.tolist(), high.tolist(), upto.tolist()) == ([value], [value], [0, 20_000])


def test_bins__of_a_narrow_row_hold_few_entries_each(rng):
    values = (1 + 1e-3 * rng.standard_normal(50_000)).astype(np.float32)
    bins = bins_of(values)
    assert np.diff(bins.upto).max() < 500
    assert len(bins.low) > 800
