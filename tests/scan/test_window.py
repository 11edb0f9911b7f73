import os
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from numba import njit

from trajlab.errors import DamagedData
from trajlab.runs.disk.element_types import widen
from trajlab.runs.disk.rows import Rows
from trajlab.scan.tiles import tile
from trajlab.scan.window import Window, _Reader, readable
from trajlab.sizes import TILE_ENTRIES

TYPES = ["float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]


def stored(folder, rng, dtype, rows=3, size=2 * TILE_ENTRIES + 7, odd=5):
    """Rows in one file each, at an odd place, and their values."""
    values = rng.standard_normal((rows, size)).astype(getattr(ml_dtypes, dtype, dtype))
    files = []
    for number, row in enumerate(values):
        files.append(str(folder / f"{dtype}-{number}"))
        with open(files[-1], "wb") as file:
            file.write(b"x" * odd + row.tobytes())
    offset = np.full(rows, odd)
    return Rows(tuple(files), np.arange(rows, dtype=np.int32), offset, (size,), values.dtype), values


@njit
def copy_tile(addresses, lo, hi, like, out):
    for s in range(addresses.size):
        out[s, lo:hi] = tile(addresses[s], lo, hi, like)


def through(window, count, size, dtype):
    """What a kernel sees of the rows of a window."""
    out = np.zeros((count, size), dtype)
    for lo, hi in window.tiles(size):
        copy_tile(window.addresses, lo, hi, out[0, :0], out)
    return out


@pytest.mark.parametrize("dtype", TYPES)
def test_window__gives_the_very_values_of_every_type(tmp_path, rng, dtype):
    rows, values = stored(tmp_path, rng, dtype)
    assert readable(rows)
    np.testing.assert_array_equal(through(Window(rows), 3, rows.size, rows.dtype), widen(values))


def test_window__rows_in_memory_and_of_several_stored_types_together(tmp_path, rng):
    (single, a), (half, b) = stored(tmp_path, rng, "float32"), stored(tmp_path, rng, "bfloat16", rows=1)
    in_memory = rng.standard_normal(single.size).astype(np.float32)
    actual = through(Window(half, [in_memory], single), 5, single.size, np.float32)
    np.testing.assert_array_equal(actual, np.concatenate([widen(b), in_memory[None], a]))


def test_window__a_row_that_is_not_there_has_no_address(rng):
    window = Window([None], [np.ones(4, np.float32)])
    assert [bool(address) for address in window.addresses] == [False, True]


def test_window__every_bit_pattern_of_half_precision_is_widened_exactly(tmp_path):
    for dtype in ("float16", "bfloat16"):
        patterns = np.arange(1 << 16, dtype=np.uint16).view(getattr(ml_dtypes, dtype, dtype))
        (tmp_path / dtype).write_bytes(patterns.tobytes())
        rows = Rows((str(tmp_path / dtype),), np.zeros(1, np.int32), np.zeros(1, int), (1 << 16,), patterns.dtype)
        np.testing.assert_array_equal(through(Window(rows), 1, 1 << 16, np.float32)[0], patterns.astype(np.float32))


def test_window__names_the_file_that_was_cut_off(tmp_path, rng):
    rows, _ = stored(tmp_path, rng, "float32")
    os.truncate(rows.files[1], 4 * TILE_ENTRIES + 100)
    with pytest.raises(DamagedData, match="float32-1"):
        through(Window(rows), 3, rows.size, np.float32)


def test_window__names_the_file_that_is_gone(tmp_path, rng):
    rows, _ = stored(tmp_path, rng, "float32")
    os.remove(rows.files[2])
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(DamagedData, match="float32-2"):
        through(Window(rows), 3, rows.size, np.float32)
    assert len(os.listdir("/proc/self/fd")) == before


def test_window__reads_rows_that_are_the_same_once(tmp_path, rng, monkeypatch):
    rows, values = stored(tmp_path, rng, "bfloat16")
    buffers, read = [], _Reader.read
    monkeypatch.setattr(_Reader, "read", lambda self, lo, hi: buffers.append(len(self.raw)) or read(self, lo, hi))
    actual = through(Window(rows[1:2], rows, rows[:1]), 5, rows.size, np.float32)
    np.testing.assert_array_equal(actual, widen(values[[1, 0, 1, 2, 0]]))
    assert set(buffers) == {3}


def test_window__leaves_bfloat16_as_it_is_stored(tmp_path, rng):
    rows, values = stored(tmp_path, rng, "bfloat16")
    actual = through(Window(rows, widens=False), 3, rows.size, np.int16)
    np.testing.assert_array_equal(actual, values.view(np.int16))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_window__rows_behind_urls_are_fetched_in_spans_of_all(tmp_path, rng, dtype, monkeypatch):
    rows, values = stored(tmp_path, rng, dtype)
    spans = []

    def fetch(asked):
        spans.append(asked)
        return [np.fromfile(tmp_path / url.rpartition("/")[2], np.uint8)[first:last] for url, first, last in asked]

    monkeypatch.setattr("trajlab.scan.window.fetch", fetch)
    monkeypatch.setattr("trajlab.sizes.BLOCK_BYTES", 3 * 2 * TILE_ENTRIES * values.itemsize)
    remote = replace(rows, files=tuple(f"memory://rows/{path.rpartition('/')[2]}" for path in rows.files))
    assert remote.remote and readable(remote)
    np.testing.assert_array_equal(through(Window(remote), 3, rows.size, np.float32), widen(values))
    assert [len(asked) for asked in spans] == [3, 3]  # two tiles, then the rest
    assert sum(last - first for asked in spans for _, first, last in asked) == values.nbytes


def test_window__leaves_no_file_open(tmp_path, rng):
    rows, _ = stored(tmp_path, rng, "float32")
    before = len(os.listdir("/proc/self/fd"))
    window = Window(rows)
    next(window.tiles(rows.size))
    through(window, 3, rows.size, np.float32)
    assert len(os.listdir("/proc/self/fd")) == before


def test_readable__not_what_kernels_do_not_know(tmp_path):
    assert not readable(Rows(("x",), np.zeros(1, np.int32), np.zeros(1, int), (4,), np.dtype("<i4")))
    assert not readable(Rows(("x",), np.zeros(1, np.int32), np.zeros(1, int), (0,), np.dtype("<f4")))
