"""Where the bytes of one tensor lie, step by step, and how they become arrays without a copy."""

import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from trajlab.errors import DamagedData
from trajlab.runs.disk.paths import is_url
from trajlab.runs.disk.remote import Span, fetch

DTYPES: dict[str, np.dtype] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "F8_E4M3FNUZ": np.dtype(ml_dtypes.float8_e4m3fnuz),
    "F8_E5M2FNUZ": np.dtype(ml_dtypes.float8_e5m2fnuz),
    "F8_E8M0": np.dtype(ml_dtypes.float8_e8m0fnu),
    "C64": np.dtype("<c8"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
"""Element types by their safetensors name."""


def widened(stored: np.dtype) -> np.dtype:
    """Element type that values are read as: float32 for every float of fewer bits, else the stored type.

    >>> widened(np.dtype(ml_dtypes.bfloat16))
    dtype('float32')
    """
    small_float = stored.itemsize < 4 and (stored.kind == "f" or stored.name.startswith(("bfloat", "float")))
    return np.dtype("<f4") if small_float else stored


def widen(values: np.ndarray) -> np.ndarray:
    """Values in the type that `widened` names; exact, and without a copy where the type stays."""
    if values.dtype == ml_dtypes.bfloat16:
        return (values.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return values.astype(widened(values.dtype), copy=False)


@dataclass(frozen=True, eq=False)
class Rows:
    """A table of (file, offset), one row a step: the whole life of one tensor on local disk or behind URLs.

    Safetensors snapshots, gradient segments and raw Zarr shards all are such tables. A table is small, can be
    pickled, and holds no file open.

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

    def __getitem__(self, steps: slice) -> "Rows":
        """Give the rows of some steps, naming only the files that these need."""
        used, file = np.unique(self.file[steps], return_inverse=True)
        files = tuple(self.files[i] for i in used)
        return Rows(files, file.astype(np.int32), self.offset[steps], self.shape, self.stored)

    def entries(self, start: int, stop: int) -> "Rows":
        """Give the entries from `start` to before `stop` of each flat row."""
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
        """Go over the files, with the rows that each holds."""
        order = np.argsort(self.file, kind="stable")
        bounds = np.searchsorted(self.file[order], np.arange(len(self.files) + 1))
        for path, first, last in zip(self.files, bounds[:-1], bounds[1:], strict=True):
            yield path, order[first:last]

    def views(self) -> list[np.ndarray]:
        """Values of each step as flat read-only arrays that are mapped from the files, or fetched all at once.

        Raises
        ------
        DamagedData
            A file is gone or ends before the row that it should hold.
        """
        return views([self])[0]

    def read(self) -> np.ndarray:
        """Values of each step in one array, (step, entry), read from the files or fetched all at once.

        Raises
        ------
        DamagedData
            A file is gone or ends before the row that it should hold.
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
        """Part the rows that a file holds into those that follow each other and lie end to end."""
        nbytes = self.size * self.stored.itemsize
        return np.split(rows, np.flatnonzero((np.diff(self.offset[rows]) != nbytes) | (np.diff(rows) != 1)) + 1)

    def load(self) -> np.ndarray:
        """Values of all steps in one array, (step, ...); a view of the file where the rows lie end to end."""
        nbytes = self.size * self.stored.itemsize
        if len(self) and nbytes and len(self.files) == 1 and (np.diff(self.offset) == nbytes).all():
            (raw,) = _bytes([(self.files[0], int(self.offset[0]), int(self.offset[-1]) + nbytes)])
            return widen(_aligned(raw).view(self.stored)).reshape(len(self), *self.shape)
        values = np.empty((len(self), self.size), self.dtype)
        for row, view in enumerate(self.views()):
            values[row] = view
        return values.reshape(len(self), *self.shape)


def views(tables: Sequence[Rows]) -> list[list[np.ndarray]]:
    """Do what `Rows.views` does for several tables; what lies behind URLs is fetched all at once.

    Raises
    ------
    DamagedData
        A file is gone or ends before a row that it should hold.
    """
    runs = [(table, path, rows) for table in tables if table.size for path, rows in table.runs()]
    spans = [
        (path, int(table.offset[rows].min()), int(table.offset[rows].max()) + table.size * table.stored.itemsize)
        for table, path, rows in runs
    ]
    found = {id(table): [np.empty(0, table.dtype)] * len(table) for table in tables}
    for (table, _, rows), (_, start, _), buffer in zip(runs, spans, _bytes(spans), strict=True):
        for row in rows:
            at = table.offset[row] - start
            raw = buffer[at : at + table.size * table.stored.itemsize]
            found[id(table)][row] = widen(_aligned(raw).view(table.stored))
    return [found[id(table)] for table in tables]


def opened(path: str) -> int:
    """Open a file for reading, and give its descriptor."""
    try:
        return os.open(path, os.O_RDONLY)
    except OSError as error:
        raise changed(path, "it was to be read", str(error)) from error


def _fill(values: np.ndarray, descriptor: int, offset: int, path: str) -> None:
    """Read an array that lies in a file as it is in memory."""
    buffer = values.view(np.uint8).data.cast("B")
    done = 0
    while done < len(buffer):
        got = os.preadv(descriptor, [buffer[done:]], offset + done)
        if not got:
            raise changed(path, f"bytes {offset} to {offset + len(buffer)} were asked for", "it ends before")
        done += got


def _bytes(spans: list[Span]) -> list[np.ndarray]:
    """Pieces of files as read-only arrays."""
    return fetch(spans) if spans and is_url(spans[0][0]) else [_map(*span) for span in spans]


def _map(path: str, start: int, stop: int) -> np.ndarray:
    """Bytes `start` to `stop` of a file as a mapped read-only array."""
    page = start - start % mmap.ALLOCATIONGRANULARITY
    descriptor = opened(path)
    try:
        mapped = mmap.mmap(descriptor, stop - page, prot=mmap.PROT_READ, offset=page)
    except (OSError, ValueError) as error:
        raise changed(path, f"bytes {start} to {stop} were asked for", str(error)) from error
    finally:
        os.close(descriptor)
    return np.frombuffer(mapped, np.uint8)[start - page :]


def changed(path: str, asked: str, found: str) -> DamagedData:
    """Tell that a file is not as it was when the trajectory was opened."""
    return DamagedData(
        f"{path}: {asked}; {found}. "
        "The file changed after the trajectory was opened: open it again, or restore the file."
    )


def _aligned(raw: np.ndarray) -> np.ndarray:
    """Bytes at an address that every element type may be read from; foreign files may break the alignment."""
    return raw if raw.ctypes.data % 8 == 0 or raw.ctypes.data % 4 == 0 else raw.copy()
