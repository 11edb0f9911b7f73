"""A window on rows: one tile of entries of all of them at a time, in memory already or read into a small buffer.

Reading into a buffer that stays in cache takes half the time of mapping the files, where each 64 kB cost a page
fault; it needs no memory that grows with the tensors, and a file that was cut off is an error instead of a crash.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from functools import cache

import ml_dtypes
import numpy as np
from numba import types

from trajlab.errors import DamagedData
from trajlab.kernels.tiles import TILE, jit, pointer
from trajlab.snapshots.rows import Rows, opened

WIDENED = (np.dtype(ml_dtypes.bfloat16), np.dtype(np.float16), np.dtype(ml_dtypes.float8_e4m3fn),
           np.dtype(ml_dtypes.float8_e5m2))  # fmt: skip
"""Stored types that tiles are widened from, to float32."""

_pread = types.ExternalFunction("pread", types.intp(types.intc, types.voidptr, types.uintp, types.int64))


def readable(rows: Rows) -> bool:
    """Tell whether tiles of rows can be read: they lie in local files, in a type that kernels or `WIDENED` know."""
    known = rows.stored in (np.float32, np.float64) or rows.stored in WIDENED
    return known and rows.size > 0 and hasattr(os, "pread")


def addresses(rows: Sequence[np.ndarray | None]) -> np.ndarray:
    """Addresses of the first bytes of rows, (step) uint64; 0 where there is none."""
    pointers = [0 if row is None else row.__array_interface__["data"][0] for row in rows]
    return np.array(pointers, np.uint64)


class Window:
    """Rows that can be reached, a tile at a time, at addresses.

    Parameters
    ----------
    groups
        Rows in memory, each an array or None, or tables of rows that are `readable`. All have one element type.
    """

    def __init__(self, *groups: Rows | Sequence[np.ndarray | None]):
        ends = np.cumsum([0, *map(len, groups)])
        self.addresses = np.zeros(ends[-1], np.uint64)
        self._files: list[tuple[Rows, slice]] = []
        for group, start, stop in zip(groups, ends[:-1], ends[1:], strict=True):
            if isinstance(group, Rows):
                self._files.append((group, slice(start, stop)))
            else:
                self.addresses[start:stop] = addresses(group)

    def tiles(self, size: int) -> Iterator[tuple[int, int]]:
        """Go over the entries: `addresses` hold from `lo` to `hi`, as if the whole rows lay there."""
        with ExitStack() as stack:
            views = [stack.enter_context(closing(_Reader(rows))) for rows, _ in self._files]
            for lo in range(0, size, TILE):
                hi = min(lo + TILE, size)
                for view, (_, where) in zip(views, self._files, strict=True):
                    self.addresses[where] = view.read(lo, hi)
                yield lo, hi


class _Reader:
    """Reads tiles of a table of rows into a buffer of its own."""

    def __init__(self, rows: Rows):
        self.rows = rows
        self.descriptors: list[int] = []
        for path in rows.files:
            self.descriptors.append(opened(path))
        self.descriptor = np.array(self.descriptors, np.int32)[rows.file]
        padded = TILE + 64  # rows that lay a power of two apart would compete for the same places in the cache
        self.raw = np.empty((len(rows), padded * rows.stored.itemsize), np.uint8)
        self.widened = np.empty((len(rows), padded), np.float32) if rows.stored in WIDENED else None
        self.itemsize = rows.dtype.itemsize
        self.raw_addresses = addresses(list(self.raw))
        self.found = self.raw_addresses if self.widened is None else addresses(list(self.widened))

    def read(self, lo: int, hi: int) -> np.ndarray:
        """Read the entries `lo` to `hi`; give the addresses at which whole rows would start."""
        stored = self.rows.stored
        start = self.rows.offset + lo * stored.itemsize
        failed = read_tile(self.descriptor, start, self.raw_addresses, (hi - lo) * stored.itemsize)
        if failed >= 0:
            path, size = self.rows.files[self.rows.file[failed]], (hi - lo) * stored.itemsize
            raise DamagedData(
                f"bytes {start[failed]} to {start[failed] + size} of {path} were asked for; it ends before. "
                "The file changed after the trajectory was opened: open it again, or restore the file."
            )
        if self.widened is not None:
            widen_tile(self.raw.view(f"u{stored.itemsize}"), _table(stored), hi - lo, self.widened)
        return self.found - np.uint64(lo * self.itemsize)

    def close(self) -> None:
        """Close the files."""
        for descriptor in self.descriptors:
            os.close(descriptor)


@cache
def _table(stored: np.dtype) -> np.ndarray:
    """Give the value of each bit pattern as float32; none for bf16, whose bits are the leading ones of a float32."""
    if stored == ml_dtypes.bfloat16:
        return np.empty(0, np.float32)
    patterns = np.arange(1 << (8 * stored.itemsize), dtype=f"u{stored.itemsize}")
    return patterns.view(stored).astype(np.float32)


@jit
def read_tile(descriptors, offsets, buffers, nbytes):
    """Read from each file at its offset to its buffer; give the first row that could not be read whole, else -1."""
    for s in range(descriptors.size):
        done = 0
        while done < nbytes:
            got = _pread(descriptors[s], pointer(buffers[s] + np.uint64(done)), nbytes - done, offsets[s] + done)
            if got <= 0:
                return s
            done += got
    return -1


@jit
def widen_tile(raw, table, n, out):
    """Write the first n entries of each row, given as bit patterns, as float32."""
    for s in range(raw.shape[0]):
        if table.size:
            for i in range(n):
                out[s, i] = table[raw[s, i]]
        else:
            bits = out[s].view(np.uint32)
            for i in range(n):
                bits[i] = np.uint32(raw[s, i]) << np.uint32(16)
