import numpy as np
import pytest

from trajlab.scan.block import Block
from trajlab.scan.kernels import value_histogram
from trajlab.scan.kernels.split_bins import SAMPLE, bins_of
from trajlab.scan.kernels.value_histogram import Histogram
from trajlab.scan.track import Track, computable


def counted(parts, dtype=np.float32):
    histogram = Histogram(computable(np.empty(0, dtype)).dtype)
    for part in parts:
        histogram.add(Block(Track([computable(part)])))
    return histogram.finish()


@pytest.mark.parametrize("limit", [20, 1 << 32])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_histogram__of_parts_is_that_of_the_whole(rng, monkeypatch, limit, dtype):
    monkeypatch.setattr(value_histogram, "TABLE_LIMIT", limit)
    values = rng.standard_normal((4, 15)).astype(dtype)
    for actual, expected in zip(counted(values, dtype), bins_of(computable(values.reshape(-1))), strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("parts", [[SAMPLE, 5], [1, SAMPLE, 30_000], [7] * 4000])
def test_histogram__where_parts_end_changes_nothing(rng, parts):
    values = (1 + 1e-3 * rng.standard_normal(sum(parts))).astype(np.float32)
    for actual, expected in zip(counted(np.split(values, np.cumsum(parts)[:-1])), counted([values]), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_histogram__of_nothing_holds_no_bin():
    low, high, upto = counted([])
    assert (len(low), len(high), upto.tolist()) == (0, 0, [0])
