import ml_dtypes
import numpy as np
import pytest

from trajlab import sizes
from trajlab.runs.disk.rows import Rows
from trajlab.scan.track import Track, computable, flat_rows, pieces_of, pieces_together


def on_disk(folder, values):
    """Return rows in a file, (step, entry)."""
    path = folder / f"{values.dtype}-{values.shape[1]}"
    path.write_bytes(values.tobytes())
    count, size = values.shape
    return Rows(
        (str(path),), np.zeros(count, np.int32), np.arange(count) * size * values.itemsize, (size,), values.dtype
    )


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(np.float16, "f4"), (ml_dtypes.bfloat16, "f8"), (np.int64, "f8"), (bool, "f8"), (np.float32, "f4"), (">f8", "f8")],
)
def test_computable__types_are_those_of_kernels(dtype, expected):
    row = computable(np.array([1, 0, 1]).astype(dtype))
    assert row.tolist() == [1, 0, 1] and row.dtype in (np.float32, np.float64)
    if np.dtype(dtype).kind != "V":  # ml_dtypes are of kind V
        assert row.dtype.str[1:] == expected
    assert computable(np.arange(6.0)[::2]).flags.c_contiguous


def test_flat_rows__of_tables_arrays_lists_and_none(tmp_path):
    values = np.arange(12, dtype=np.float32).reshape(2, 6)
    expected = values.tolist()
    for rows in (on_disk(tmp_path, values), values.reshape(2, 3, 2), list(values)):
        assert [row.tolist() for row in flat_rows(rows)] == expected
    assert flat_rows(None) == []


def test_pieces_together__of_a_table_and_an_array_hold_the_same_entries(tmp_path, monkeypatch):
    monkeypatch.setattr(sizes, "ROW_PIECE_ENTRIES", 4)
    values = np.arange(20, dtype=np.float32).reshape(2, 10)
    table = on_disk(tmp_path, values)
    pieces = [[part.tolist() for part in pair] for pair in pieces_together(table[:1], values[1])]
    assert pieces == [[[*range(lo, hi)], [*range(10 + lo, 10 + hi)]] for lo, hi in ((0, 4), (4, 8), (8, 10))]
    assert [part.tolist() for part in pieces_of(table[1:])] == [part for _, part in pieces]
    assert [len(part) for part in pieces_of(values[0])] == [10] and list(pieces_of(values[0, :0])) == []


def test_track__addresses_are_0_where_no_row_is():
    rows = [np.zeros(3, np.float32), np.ones(3, np.float32)]
    track = Track(rows, rows[0], None, np.array([1, -1, 0]))
    first, second = (np.uint64(row.__array_interface__["data"][0]) for row in rows)
    assert track.addresses.tolist() == [second, 0, first]
    assert (track.previous_address, track.reference_address) == (first, 0)
    assert Track(rows).addresses.tolist() == [first, second]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_track__knows_the_type_of_its_rows(tmp_path, dtype):
    values = np.ones((2, 4), dtype)
    for track in (Track(list(values)), Track(on_disk(tmp_path, values)), Track((), values[0])):
        assert track.like.dtype == dtype and track.like_bits.dtype == f"i{np.dtype(dtype).itemsize}"
    assert Track((), None).like.dtype == np.float32


def test_opened__reads_short_rows_and_leaves_long_ones_in_their_file(tmp_path, monkeypatch):
    monkeypatch.setattr(sizes, "SHORT_ENTRIES", 4)
    short, long = (on_disk(tmp_path, np.arange(2.0 * size).reshape(2, size)) for size in (4, 5))
    track = Track(short, short[:1], None).opened({})
    assert [row.tolist() for row in track.rows] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert track.previous.tolist() == [0, 1, 2, 3] and track.reference is None
    kept = Track(long, long[:1], long[1:]).opened({})
    assert all(isinstance(part, Rows) for part in (kept.rows, kept.previous, kept.reference))
    assert [table.size for table in kept.tables()] == [5, 5, 5]
    assert isinstance(Track(long).opened({}, whole=True).rows, list)
    assert [row.tolist() for row in kept.arrays()] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert kept.row_before().tolist() == [0, 1, 2, 3, 4] and Track(long).row_before() is None


def test_opened__takes_rows_that_were_fetched(tmp_path):
    table = on_disk(tmp_path, np.arange(4.0).reshape(2, 2))
    fetched = {id(table): [np.array([8.0, 9.0])] * 2}
    assert [row.tolist() for row in Track(table).opened(fetched).rows] == [[8, 9], [8, 9]]
