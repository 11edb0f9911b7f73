"""Read rows one tile of entries at a time, from memory, from files or from URLs, through a small buffer.

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
from trajlab.errors import DamagedData
from trajlab.runs.disk.remote import fetch
from trajlab.runs.disk.rows import Rows, changed, opened
from trajlab.scan.jit import jit
from trajlab.scan.tiles import pointer

WIDENED = (np.dtype(ml_dtypes.bfloat16), np.dtype(np.float16), np.dtype(ml_dtypes.float8_e4m3fn),
           np.dtype(ml_dtypes.float8_e5m2))  # fmt: skip
"""Stored types that tiles are widened from, to float32."""

_pread = types.ExternalFunction("pread", types.intp(types.intc, types.voidptr, types.uintp, types.int64))


def readable(rows: Rows) -> bool:
    """Return whether tiles of rows can be read: whether their type is one of the kernels or of `WIDENED`."""
    is_of_kernels = rows.stored in (np.float32, np.float64) or rows.stored in WIDENED
    return is_of_kernels and rows.size > 0 and (rows.remote or hasattr(os, "pread"))


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
    widens
        Whether `WIDENED` types are widened to float32; else they are read as they are stored.
    """

    def __init__(self, *groups: Rows | Sequence[np.ndarray | None], widens: bool = True):
        self._widens = widens
        in_memory = [[None] * len(group) if isinstance(group, Rows) else group for group in groups]
        self.addresses = addresses([row for group in in_memory for row in group])
        tables = [group for group in groups if isinstance(group, Rows)]
        kinds = np.repeat([_kind(group) for group in groups], [len(group) for group in groups])
        self._tables = [
            (np.flatnonzero(kinds == kind), [table for table in tables if _kind(table) == kind])
            for kind in dict.fromkeys(map(_kind, tables))
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
            readers = [
                (at, stack.enter_context(closing(_reader(tables, entries, self._widens))))
                for at, tables in self._tables
            ]
            for lo in range(0, size, entries):
                hi = min(lo + entries, size)
                for where, reader in readers:
                    self.addresses[where] = reader.read(lo, hi)
                yield lo, hi


def _kind(group: Rows | Sequence[np.ndarray | None]) -> str:
    """Return the stored type of rows in files and whether they lie behind URLs; empty for rows in memory."""
    return f"{group.stored.name} {group.remote}" if isinstance(group, Rows) else ""


def _reader(tables: Sequence[Rows], entries: int, widens: bool) -> "_Reader":
    return (_RemoteReader if tables[0].remote else _Reader)(tables, entries, widens)


class _Reader:
    """Reader of tiles of rows of one stored type into buffers; rows at the same place in a file share a buffer."""

    def __init__(self, tables: Sequence[Rows], entries: int, widens: bool):
        self.stored = tables[0].stored
        paths = [rows.files[file] for rows in tables for file in rows.file]
        numbers = {path: number for number, path in enumerate(dict.fromkeys(paths))}
        origins = np.stack([[numbers[path] for path in paths], np.concatenate([rows.offset for rows in tables])])
        origins, buffer_of_row = np.unique(origins, axis=1, return_inverse=True)
        self.buffer_of_row = buffer_of_row.reshape(-1)
        names = list(numbers)
        self.paths = [names[number] for number in origins[0]]
        self.offset = np.ascontiguousarray(origins[1])
        self.size = tables[0].size
        self.open(names)
        # Rows that lay a power of two apart would compete for the same lines of the cache.
        padded = entries + 64
        widened = widens and self.stored in WIDENED
        self.raw = np.empty((len(self.paths), padded * self.stored.itemsize), np.uint8)
        self.wide = np.empty((len(self.paths), padded), np.float32) if widened else None
        self.buffers = addresses(list(self.raw))
        self.starts = self.buffers if self.wide is None else addresses(list(self.wide))
        self.itemsize = self.stored.itemsize if self.wide is None else self.wide.itemsize

    def read(self, lo: int, hi: int) -> np.ndarray:
        """Read the entries `lo` to `hi`, and return the addresses at which whole rows would start, (row)."""
        self.fill(lo, hi)
        if self.wide is not None:
            patterns = self.raw.view(f"u{self.stored.itemsize}")
            widen_tile(patterns, _table(self.stored), self.stored == np.float16, hi - lo, self.wide)
        return self.starts[self.buffer_of_row] - np.uint64(lo * self.itemsize)

    def open(self, paths: Sequence[str]) -> None:
        """Open the files."""
        self.opened: dict[str, int] = {}
        try:
            for path in paths:
                self.opened[path] = opened(path)
        except DamagedData:
            self.close()
            raise
        self.descriptor = np.array([self.opened[path] for path in self.paths], np.int32)

    def fill(self, lo: int, hi: int) -> None:
        """Read the entries `lo` to `hi` of each row into its buffer."""
        start, nbytes = self.offset + lo * self.stored.itemsize, (hi - lo) * self.stored.itemsize
        failed = read_tile(self.descriptor, start, self.buffers, nbytes)
        if failed >= 0:
            action = f"read bytes {start[failed]} to {start[failed] + nbytes}"
            raise changed(self.paths[failed], action, "it ends before")

    def close(self) -> None:
        """Close the files."""
        for descriptor in self.opened.values():
            os.close(descriptor)


class _RemoteReader(_Reader):
    """Reader of rows behind URLs: it fetches a span of all rows, up to `BLOCK_BYTES`, and copies tiles from it."""

    def open(self, paths: Sequence[str]) -> None:
        """Begin without a span; URLs are not opened."""
        self.opened = {}
        self.span: list[np.ndarray] = []
        self.start = self.stop = 0

    def fill(self, lo: int, hi: int) -> None:
        """Copy the entries `lo` to `hi` of each row into its buffer; fetch the next span if this one ends before."""
        itemsize, tile = self.stored.itemsize, hi - lo
        if hi > self.stop:
            tiles = max(1, sizes.BLOCK_BYTES // (len(self.paths) * tile * itemsize))
            self.start, self.stop = lo, min(lo + tiles * tile, self.size)
            first, last = self.offset + self.start * itemsize, self.offset + self.stop * itemsize
            self.span = fetch(list(zip(self.paths, first.tolist(), last.tolist(), strict=True)))
        for raw, row in zip(self.raw, self.span, strict=True):
            raw[: tile * itemsize] = row[(lo - self.start) * itemsize : (hi - self.start) * itemsize]


@cache
def _table(stored: np.dtype) -> np.ndarray:
    """Return the value of each bit pattern as float32; none for types of 16 bits, which are computed."""
    if stored.itemsize == 2:
        return np.empty(0, np.float32)
    patterns = np.arange(1 << (8 * stored.itemsize), dtype=f"u{stored.itemsize}")
    return patterns.view(stored).astype(np.float32)


@jit
def read_tile(descriptors, offsets, buffers, nbytes):
    """Read from each file at its offset to its buffer; return the first row that could not be read whole, else -1."""
    for s in range(descriptors.size):
        done = 0
        while done < nbytes:
            got = _pread(descriptors[s], pointer(buffers[s] + np.uint64(done)), nbytes - done, offsets[s] + done)
            if got <= 0:
                return s
            done += got
    return -1


@jit
def widen_tile(raw, table, is_half, n, out):
    """Write the first n entries of each row, given as bit patterns, as float32.

    Parameters
    ----------
    raw
        Bit patterns of each row, (row, entry).
    table
        Value of each pattern; none for float16 and bfloat16.
    is_half
        Whether the type is float16.
    n
        Number of entries.
    out
        Values, (row, entry) float32, written to.
    """
    for s in range(raw.shape[0]):
        bits = out[s].view(np.uint32)
        if table.size:
            for i in range(n):
                out[s, i] = table[raw[s, i]]
        elif is_half:
            for i in range(n):
                half = np.uint32(raw[s, i])
                size = np.uint32((half & np.uint32(0x7FFF)) << np.uint32(13))
                value = np.float32(size.view(np.float32) * np.float32(2.0**112))  # exponents differ by 127 - 15
                special = np.uint32(0x7F800000) if size >= np.uint32(0x0F800000) else np.uint32(0)  # Inf and NaN
                sign = np.uint32((half & np.uint32(0x8000)) << np.uint32(16))
                bits[i] = value.view(np.uint32) | special | sign
        else:
            for i in range(n):
                bits[i] = np.uint32(raw[s, i]) << np.uint32(16)
