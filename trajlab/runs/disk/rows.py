"""Tables of rows: where the bytes of one tensor lie at each step, and how they become arrays without a copy."""

import errno
import mmap
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trajlab.errors import DamagedData
from trajlab.runs.disk.element_types import widen, widened
from trajlab.runs.disk.paths import is_url
from trajlab.runs.disk.remote import Span, fetch


@dataclass(frozen=True, eq=False)
class Rows:
    """A table of (file, offset), one row a step: one tensor at all its steps, on local disk or behind URLs.

    Safetensors snapshots, gradient segments and raw Zarr shards all are such tables. A table is small, can be pickled,
    and keeps no file open.

    Parameters
    ----------
    files
        The files that hold the rows.
    file
        Position in `files` of each step's file, (step).
    offset
        Position of each step's first byte in its file, (step).
    shape
        Shape of the tensor at one step.
    stored
        Element type on disk.
    """

    files: tuple[str, ...]
    file: np.ndarray
    offset: np.ndarray
    shape: tuple[int, ...]
    stored: np.dtype

    def __dask_tokenize__(self) -> tuple:
        return self.files, self.file.tobytes(), self.offset.tobytes(), self.shape, self.stored.name

    def __len__(self) -> int:
        return len(self.file)

    def __getitem__(self, steps: slice | list[int] | np.ndarray) -> "Rows":
        """Return the rows of some steps, with only the files that these need."""
        used, file = np.unique(self.file[steps], return_inverse=True)
        files = tuple(self.files[i] for i in used)
        return Rows(files, file.astype(np.int32), self.offset[steps], self.shape, self.stored)

    def entries(self, start: int, stop: int) -> "Rows":
        """Return a table of the entries from `start` up to, not including, `stop` of each flat row."""
        offset = self.offset + start * self.stored.itemsize
        return Rows(self.files, self.file, offset, (stop - start,), self.stored)

    @property
    def dtype(self) -> np.dtype:
        """Element type of the values as they are read."""
        return widened(self.stored)

    @property
    def size(self) -> int:
        """Number of entries of the tensor at one step."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def remote(self) -> bool:
        """Whether the rows lie behind URLs."""
        return any(map(is_url, self.files[:1]))

    def runs(self) -> Iterator[tuple[str, np.ndarray]]:
        """Iterate over the files, with the rows that each holds."""
        order = np.argsort(self.file, kind="stable")
        bounds = np.searchsorted(self.file[order], np.arange(len(self.files) + 1))
        for path, first, last in zip(self.files, bounds[:-1], bounds[1:], strict=True):
            yield path, order[first:last]

    def views(self) -> list[np.ndarray]:
        """Return the values of each step as flat read-only arrays, mapped from the files or fetched all at once.

        Raises
        ------
        DamagedData
            A file is missing or ends before the row does.
        """
        return views([self])[0]

    def read(self) -> np.ndarray:
        """Read the values of each step into one array, (step, entry); those behind URLs are fetched all at once.

        Raises
        ------
        DamagedData
            A file is missing or ends before the row does.
        """
        values = np.empty((len(self), self.size), self.stored)
        if self.remote:
            adjacent = [(path, run) for path, rows in self.runs() for run in self._adjacent(rows)]
            starts = [int(self.offset[run[0]]) for _, run in adjacent]
            nbytes = self.size * self.stored.itemsize
            stops = [start + len(run) * nbytes for (_, run), start in zip(adjacent, starts, strict=True)]
            spans = [(path, start, stop) for (path, _), start, stop in zip(adjacent, starts, stops, strict=True)]
            for (_, run), raw in zip(adjacent, fetch(spans), strict=True):
                values[run] = _aligned(raw).view(self.stored).reshape(len(run), -1)
            return widen(values)
        for path, rows in self.runs():
            descriptor = opened(path)
            try:
                for run in self._adjacent(rows):
                    _fill(values[run[0] : run[-1] + 1], descriptor, int(self.offset[run[0]]), path)
            finally:
                os.close(descriptor)
        return widen(values)

    def _adjacent(self, rows: np.ndarray) -> list[np.ndarray]:
        """Split the rows of a file into runs that follow each other and lie end to end."""
        nbytes = self.size * self.stored.itemsize
        return np.split(rows, np.flatnonzero((np.diff(self.offset[rows]) != nbytes) | (np.diff(rows) != 1)) + 1)

    def load(self) -> np.ndarray:
        """Read the values of all steps into one array, (step, ...)."""
        return self.read().reshape(len(self), *self.shape)


def views(tables: Sequence[Rows]) -> list[list[np.ndarray]]:
    """Return the views of several tables, as `Rows.views` does; those behind URLs are fetched all at once.

    Raises
    ------
    DamagedData
        A file is missing or ends before a row does.
    """
    runs = [(table, path, rows) for table in tables if table.size for path, rows in table.runs()]
    spans = [
        (path, int(table.offset[rows].min()), int(table.offset[rows].max()) + table.size * table.stored.itemsize)
        for table, path, rows in runs
    ]
    values = {id(table): [np.empty(0, table.dtype)] * len(table) for table in tables}
    for (table, _, rows), (_, start, _), buffer in zip(runs, spans, _bytes(spans), strict=True):
        for row in rows:
            at = table.offset[row] - start
            raw = buffer[at : at + table.size * table.stored.itemsize]
            values[id(table)][row] = widen(_aligned(raw).view(table.stored))
    return [values[id(table)] for table in tables]


def opened(path: str) -> int:
    """Open a file for reading and return its descriptor; a pipe, which reading would wait for, is refused."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise changed(path, "read any row", str(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise changed(path, "read any row", "it is no file")
    return descriptor


def _fill(values: np.ndarray, descriptor: int, offset: int, path: str) -> None:
    """Fill an array with the bytes of a file from an offset on."""
    if not values.size:
        return
    buffer = values.view(np.uint8).data.cast("B")
    done = 0
    while done < len(buffer):
        count = os.preadv(descriptor, [buffer[done:]], offset + done)
        if not count:
            raise changed(path, f"read bytes {offset} to {offset + len(buffer)}", "it ends before")
        done += count


def _bytes(spans: list[Span]) -> list[np.ndarray]:
    """Return spans of files as read-only arrays."""
    return fetch(spans) if spans and is_url(spans[0][0]) else [_map(*span) for span in spans]


def _map(path: str, start: int, stop: int) -> np.ndarray:
    """Map bytes `start` to `stop` of a file as a read-only array."""
    page = start - start % mmap.ALLOCATIONGRANULARITY
    descriptor = opened(path)
    try:
        mapped = mmap.mmap(descriptor, stop - page, prot=mmap.PROT_READ, offset=page)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            raise MemoryError(f"unable to map {stop - start:,} bytes of {path}") from error
        raise changed(path, f"map bytes {start} to {stop}", str(error)) from error
    finally:
        os.close(descriptor)
    return np.frombuffer(mapped, np.uint8)[start - page :]


def changed(path: str, action: str, reason: str) -> DamagedData:
    """Return the error of a file that is no longer as it was when the trajectory was opened."""
    return DamagedData(
        f"cannot {action} in {path}: {reason}; the file changed after the trajectory was opened, so open it again, or "
        "restore the file"
    )


def _aligned(raw: np.ndarray) -> np.ndarray:
    """Return the bytes at an aligned address, copied if need be; other programs' files may break the alignment."""
    return raw if raw.ctypes.data % 8 == 0 or raw.ctypes.data % 4 == 0 else raw.copy()
