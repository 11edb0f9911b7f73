import numpy as np
import pytest
from numba import njit

from trajlab.scan.tiles import compact, squares, tile

LIKE = {dtype: np.empty(0, dtype) for dtype in (np.float32, np.float64)}


@njit
def copied(address, lo, hi, like):
    return tile(address, lo, hi, like).copy()


@njit
def written(address, lo, hi, like):
    tile(address, lo, hi, like)[:] = 7


@pytest.mark.parametrize("dtype", LIKE)
def test_tile__is_the_part_of_a_row_at_its_address(dtype):
    row = np.arange(10, dtype=dtype)
    address = np.uint64(row.__array_interface__["data"][0])
    assert copied(address, 3, 6, LIKE[dtype]).tolist() == [3, 4, 5]
    assert copied(address, 4, 4, LIKE[dtype]).size == 0
    written(address, 8, 10, LIKE[dtype])
    assert row.tolist() == [*range(8), 7, 7]


@pytest.mark.parametrize(("values", "expected"), [([3, 4], 25), ([], 0), ([3e38, 3e38], 1.8e77), ([np.inf], np.inf)])
def test_squares__of_float32_are_finite_exactly_if_all_entries_are(values, expected):
    assert squares(np.array(values, np.float32)) == pytest.approx(expected)
    assert np.isnan(squares(np.array([1, np.nan], np.float32)))


def test_compact__keeps_the_entries_that_are_finite_in_both_rows():
    w, r = np.array([1, np.nan, 3, 4.0]), np.array([5, 6, np.inf, 8.0])
    finite = np.zeros((2, 4))
    assert compact(w, r, *finite) == 2
    assert finite[:, :2].tolist() == [[1, 4], [5, 8]]
