import numpy as np
import pytest

from trajlab.scan.block import Block, reduce
from trajlab.scan.kernels.entries import Raster, raster_positions
from trajlab.scan.track import Track


@pytest.mark.parametrize(
    ("size", "entries", "positions"), [(1, 5, [0]), (5, 1, [0]), (3, 5, [0, 1, 2]), (101, 3, [0, 50, 100]), (0, 4, [])]
)
def test_raster_positions__are_evenly_spaced_from_the_first_to_the_last(size, entries, positions):
    assert raster_positions(size, entries).tolist() == positions


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_raster__takes_the_entries_as_they_are(dtype):
    rows = np.arange(14, dtype=dtype).reshape(2, 7)
    rows[1, 6] = np.nan
    ((out, total),) = reduce([Raster(3)], Block(Track(list(rows))))
    np.testing.assert_array_equal(out, [[0, 3, 6], [7, 10, np.nan]])
    assert total is None and Raster(3).columns == ("entry_0", "entry_1", "entry_2")


def test_raster__columns_beyond_a_short_row_are_unknown():
    ((out, _),) = reduce([Raster(4)], Block(Track([np.array([5.0, 6.0])])))
    np.testing.assert_array_equal(out, [[5, 6, np.nan, np.nan]])
