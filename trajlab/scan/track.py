"""The rows of one tensor at the steps of a block, and the rows that they are compared with."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from trajlab import sizes
from trajlab.runs.disk.rows import Rows
from trajlab.scan.window import Window, readable


def computable(row: np.ndarray) -> np.ndarray:
    """Return a flat row as float32 or float64, the element types that kernels are compiled for.

    >>> computable(np.array([1, 2], np.int8)).dtype
    dtype('float64')
    """
    if row.dtype not in (np.float32, np.float64):
        row = row.astype(np.float32 if row.dtype.kind == "f" and row.dtype.itemsize < 4 else np.float64)
    return np.ascontiguousarray(row)


def flat_rows(rows: Rows | np.ndarray | Sequence[np.ndarray] | None) -> Sequence[np.ndarray]:
    """Return rows as flat arrays that kernels can take."""
    if isinstance(rows, Rows):
        rows = rows.views()
    elif isinstance(rows, np.ndarray):
        rows = list(rows.reshape(len(rows), -1))
    return [computable(row) for row in rows or ()]


def pieces_of(row: Rows | np.ndarray) -> Iterator[np.ndarray]:
    """Iterate over the entries of one row, a table of it or a flat array, in pieces that kernels can take."""
    yield from (piece for (piece,) in pieces_together(row))


def pieces_together(*rows: Rows | np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the same entries of rows of one size, piece by piece; in a single piece if all rows are arrays."""
    size = rows[0].size
    at_once = sizes.ROW_PIECE_ENTRIES if any(isinstance(row, Rows) for row in rows) else max(size, 1)
    for lo in range(0, size, at_once):
        hi = min(lo + at_once, size)
        yield tuple(row.entries(lo, hi).read()[0] if isinstance(row, Rows) else row[lo:hi] for row in rows)


@dataclass(eq=False)
class Track:
    """Rows of one tensor at the steps of a block, and what they are compared with.

    A task gets each part as a table of rows or an array (step, …); `opened` turns them into what kernels take.

    Parameters
    ----------
    rows
        The rows: a table, or flat arrays of float32 or float64.
    previous
        The row at the step before the block, a table of one or a flat array.
    reference
        The row that all are compared with, a table of one or a flat array.
    positions
        Position in `rows` of each step of the block, (step); -1 where no row was recorded. None if each step has one.
    widens
        Whether rows of bfloat16 are widened to float32 before they get addresses.
    """

    rows: Any = ()
    previous: Any = None
    reference: Any = None
    positions: np.ndarray | None = None
    widens: bool = True

    def of_bits(self) -> "Track":
        """Return the track with rows of bfloat16 as they are stored, for kernels to widen, if all rows are bfloat16."""
        parts = [part for part in (self.rows, self.previous, self.reference) if part is not None]
        stored = {part.stored.name if isinstance(part, Rows) else "" for part in parts}
        return replace(self, widens=False) if stored == {"bfloat16"} else self

    def tables(self) -> Iterator[Rows]:
        """Iterate over the tables of rows."""
        return (part for part in (self.rows, self.previous, self.reference) if isinstance(part, Rows))

    def fetched_whole(self, *, whole: bool = False) -> Iterator[Rows]:
        """Yield the tables behind URLs that are fetched whole, before `opened`."""
        return (rows for rows in self.tables() if rows.remote and (whole or not _is_tiled(rows)))

    def opened(self, fetched: Mapping[int, Any], *, whole: bool = False) -> "Track":
        """Return the track with long rows in files as tables, to be read a tile at a time, and all others as arrays.

        Parameters
        ----------
        fetched
            Rows that are in memory already, by the id of their table.
        whole
            Whether to read long rows, too.
        """
        parts = (self.rows, self.previous, self.reference)
        rows, *single = (_opened(fetched.get(id(part), part), whole) for part in parts)
        previous, reference = (row if isinstance(row, Rows) else next(iter(row), None) for row in single)
        return Track(rows, previous, reference, self.positions)

    @cached_property
    def window(self) -> Window:
        """The previous row, the reference, the rows, and one that is not there, at addresses."""
        return Window(_group(self.previous), _group(self.reference), self.rows, [None], widens=self.widens)

    @cached_property
    def like(self) -> np.ndarray:
        """Empty array of the element type of the rows, float32 if there is none."""
        some = self.rows if len(self.rows) else _group(self.previous)
        first = some if isinstance(some, Rows) else some[0]
        return np.empty(0, np.float32 if first is None else first.dtype)

    @cached_property
    def like_bits(self) -> np.ndarray:
        """Empty array of the signed integers of the size of an entry."""
        return np.empty(0, np.int32 if self.like.itemsize == 4 else np.int64)

    @property
    def bits(self) -> np.ndarray:
        """Empty array of signed integers of the stored size of an entry."""
        return self.like_bits if self.widens else np.empty(0, np.int16)

    @property
    def addresses(self) -> np.ndarray:
        """Address of the row of each step, (step) uint64; 0 where none was recorded."""
        rows = self.window.addresses[2:]
        return rows[:-1] if self.positions is None else rows[self.positions]

    @property
    def previous_address(self) -> np.uint64:
        """Address of the previous row, 0 if there is none."""
        return self.window.addresses[0]

    @property
    def reference_address(self) -> np.uint64:
        """Address of the reference, 0 if there is none."""
        return self.window.addresses[1]

    def arrays(self) -> Sequence[np.ndarray]:
        """Return all rows as flat arrays, for kernels that need single entries; fetch rows behind URLs one by one."""
        if isinstance(self.rows, Rows):
            return _RemoteRows(self.rows) if self.rows.remote else flat_rows(self.rows)
        return self.rows

    def row(self, step: int) -> Rows | np.ndarray:
        """Return one row, a table of it or a flat array; see `pieces_of`."""
        return self.rows[step : step + 1] if isinstance(self.rows, Rows) else self.rows[step]

    def row_before(self) -> np.ndarray | None:
        """Return the row at the step before the block as a flat array; None if there is none."""
        return next(iter(flat_rows(_group(self.previous))), None) if self.previous is not None else None


class _RemoteRows(Sequence):
    """Rows behind URLs as flat arrays; each is fetched when it is indexed."""

    def __init__(self, rows: Rows):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, step: int) -> np.ndarray:  # type: ignore[override]
        step = range(len(self))[step]
        return flat_rows(self.rows[step : step + 1])[0]


def _is_tiled(rows: Rows) -> bool:
    """Return whether rows are long, and readable a tile at a time."""
    return readable(rows) and rows.size > sizes.SHORT_ENTRIES


def _opened(rows: Any, whole: bool) -> Any:
    if whole or not isinstance(rows, Rows) or not readable(rows):
        return flat_rows(rows)
    return rows if _is_tiled(rows) else list(rows.read())


def _group(row: Any) -> Any:
    return row if isinstance(row, Rows) else [row]
