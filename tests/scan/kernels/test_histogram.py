import numpy as np
import pytest

from trajlab.scan.block import Block
from trajlab.scan.jit import jit
from trajlab.scan.kernels.histogram import (
    HIGH,
    KEYS,
    LOW,
    OUTERMOST,
    ZERO,
    count,
    count_rows,
    occupied,
    occupied_by_sorted,
)
from trajlab.scan.track import Track


def test_ends_of_bins__rise_over_all_floats_and_leave_none_out():
    finite = np.isfinite(LOW) & np.isfinite(HIGH)
    assert (LOW[finite] <= HIGH[finite]).all()
    low, high = LOW[finite].astype(np.float32), HIGH[finite].astype(np.float32)
    following = np.nextafter(high[:-1], np.float32(np.inf))
    positive = low[1:] > np.float32(2.0**-133)
    np.testing.assert_array_equal(following[positive], low[1:][positive])
    assert LOW[ZERO] == HIGH[ZERO] == 0
    assert (LOW[OUTERMOST[0]], HIGH[OUTERMOST[1]]) == (-np.finfo(np.float32).max, np.finfo(np.float32).max)
    normal = (low > 0) & (low >= np.finfo(np.float32).tiny)
    assert ((high - low)[normal] <= low[normal] / 128).all()


@pytest.mark.parametrize("tables", [1, 2, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 3, 4, 50_001])
def test_count_rows__agrees_with_numpy_in_any_number_of_tables(rng, tables, dtype, size):
    rows = np.maximum(rng.standard_normal((3, size)), 0).astype(dtype)
    rows[1, size // 2] = np.inf
    block, counts = Block(Track(list(rows))), np.zeros((3 * tables, KEYS), np.uint32)
    count_rows(block.rows.addresses, 0, size, block.rows.like, counts)
    bits = rows.astype(np.float32).view(np.uint32) >> 16
    expected = [np.bincount(row, minlength=KEYS) for row in bits]
    np.testing.assert_array_equal(counts.reshape(3, tables, KEYS).sum(1), expected)


@jit
def both_ways(values, counted, sorted_):
    tables = np.zeros((1, KEYS), np.uint32)
    count(values, tables)
    return occupied(tables[0], *counted), occupied_by_sorted(values, *sorted_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "values", [[], [0.0], [-0.0, 0.0], [-2e-41, 0.0, 2e-41, 1e-39], [-1.0, -1.0, 3.0, 1e300], None]
)
def test_occupied_by_sorted__lists_the_bins_that_are_counted(rng, dtype, values):
    if values is None:
        values = np.round(rng.standard_normal(3000) * 10.0 ** rng.integers(-6, 3, 3000), 4)
    with np.errstate(over="ignore"):
        values = np.sort(np.asarray(values, np.float64)).astype(dtype)
    values = values[np.isfinite(values)]
    counted, listed = ((np.zeros(KEYS + 1, np.int32), np.zeros(KEYS + 1, np.int64)) for _ in range(2))
    m, n = both_ways(values, counted, listed)
    assert m == n
    for a, b in zip(counted, listed, strict=True):
        np.testing.assert_array_equal(a[: m + 1], b[: m + 1])
