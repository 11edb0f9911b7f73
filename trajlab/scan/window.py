"""Read rows one tile of entries at a time, from memory or through a small buffer.

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

from trajlab import sizes
from trajlab.runs.disk.rows import Rows, changed, opened
from trajlab.scan.jit import jit
from trajlab.scan.tiles import pointer

WIDENED = (np.dtype(ml_dtypes.bfloat16), np.dtype(np.float16), np.dtype(ml_dtypes.float8_e4m3fn),
           np.dtype(ml_dtypes.float8_e5m2))  # fmt: skip
"""Stored types that tiles are widened from, to float32."""

_pread = types.ExternalFunction("pread", types.intp(types.intc, types.voidptr, types.uintp, types.int64))


def readable(rows: Rows) -> bool:
    """Return whether tiles of rows can be read: from local files, in a type of kernels or of `WIDENED`."""
    is_of_kernels = rows.stored in (np.float32, np.float64) or rows.stored in WIDENED
    return is_of_kernels and rows.size > 0 and not rows.remote and hasattr(os, "pread")


def addresses(rows: Sequence[np.ndarray | None]) -> np.ndarray:
    """Addresses of the first bytes of rows, (step) uint64; 0 where there is none."""
    pointers = [0 if row is None else row.__array_interface__["data"][0] for row in rows]
    return np.array(pointers, np.uint64)


class Window:
    """Rows that can be reached, a tile at a time, at addresses.

    Parameters
    ----------
    groups
        Rows in memory, each an array or None, or tables of rows that are `readable`; all are read as one type.
    """

    def __init__(self, *groups: Rows | Sequence[np.ndarray | None]):
        in_memory = [[None] * len(group) if isinstance(group, Rows) else group for group in groups]
        self.addresses = addresses([row for group in in_memory for row in group])
        tables = [group for group in groups if isinstance(group, Rows)]
        stored = np.repeat([_stored(group) for group in groups], [len(group) for group in groups])
        self._tables = [
            (np.flatnonzero(stored == name), [table for table in tables if _stored(table) == name])
            for name in dict.fromkeys(map(_stored, tables))
        ]

    def tiles(self, size: int, entries: int | None = None) -> Iterator[tuple[int, int]]:
        """Iterate over the entries: `addresses` hold from `lo` to `hi`, as if the whole rows lay there.

        Parameters
        ----------
        size
            Entries of a row.
        entries
            How many are read at once, one tile by default.

        Raises
        ------
        DamagedData
            A file is gone or ends before a row that it should hold.
        """
        with ExitStack() as stack:
            entries = entries or sizes.TILE_ENTRIES
            readers = [(at, stack.enter_context(closing(_Reader(tables, entries)))) for at, tables in self._tables]
            for lo in range(0, size, entries):
                hi = min(lo + entries, size)
                for where, reader in readers:
                    self.addresses[where] = reader.read(lo, hi)
                yield lo, hi


def _stored(group: Rows | Sequence[np.ndarray | None]) -> str:
    """Return the name of the stored type of rows in files, none for rows in memory."""
    return group.stored.name if isinstance(group, Rows) else ""


class _Reader:
    """Reads some entries of rows of one stored type at a time into a buffer of its own."""

    def __init__(self, tables: Sequence[Rows], entries: int):
        self.stored, self.itemsize = tables[0].stored, tables[0].dtype.itemsize
        self.paths = [rows.files[file] for rows in tables for file in rows.file]
        self.offset = np.concatenate([rows.offset for rows in tables])
        self.opened = {path: opened(path) for path in dict.fromkeys(self.paths)}
        self.descriptor = np.array([self.opened[path] for path in self.paths], np.int32)
        # Rows that lay a power of two apart would compete for the same lines of the cache.
        padded = entries + 64
        self.raw = np.empty((len(self.paths), padded * self.stored.itemsize), np.uint8)
        self.wide = np.empty((len(self.paths), padded), np.float32) if self.stored in WIDENED else None
        self.buffers = addresses(list(self.raw))
        self.found = self.buffers if self.wide is None else addresses(list(self.wide))

    def read(self, lo: int, hi: int) -> np.ndarray:
        """Read the entries `lo` to `hi`, and return the addresses at which whole rows would start."""
        start, nbytes = self.offset + lo * self.stored.itemsize, (hi - lo) * self.stored.itemsize
        failed = read_tile(self.descriptor, start, self.buffers, nbytes)
        if failed >= 0:
            action = f"read bytes {start[failed]} to {start[failed] + nbytes}"
            raise changed(self.paths[failed], action, "it ends before")
        if self.wide is not None:
            widen_tile(self.raw.view(f"u{self.stored.itemsize}"), _table(self.stored), hi - lo, self.wide)
        return self.found - np.uint64(lo * self.itemsize)

    def close(self) -> None:
        """Close the files."""
        for descriptor in self.opened.values():
            os.close(descriptor)


@cache
def _table(stored: np.dtype) -> np.ndarray:
    """Return the value of each bit pattern as float32; none for bf16, whose bits are the leading ones of a float32."""
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
