"""Convert tables of rows to dask arrays, and back."""

from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.base import tokenize

from trajlab import sizes
from trajlab.runs.disk.rows import Rows

_NAME = "trajlab_rows"


class _Table:
    """A table of rows that is read when it is indexed, as dask takes it."""

    def __init__(self, rows: Rows):
        self.rows = rows
        self.shape, self.dtype = (len(rows), *rows.shape), rows.dtype
        self.ndim = len(self.shape)

    def __getitem__(self, index: tuple[Any, ...]) -> np.ndarray:
        steps, *entries = index
        if isinstance(steps, slice):
            return self.rows[steps].load()[(slice(None), *entries)]
        return self.rows[steps : steps + 1].load()[(0, *entries)]


class _RowsArray(da.Array):
    """A dask array of rows, of which some steps are rows, too."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> da.Array:
        rows = rows_of(self)
        steps, *entries = index if isinstance(index, tuple) else (index,)
        if rows is None or any(not isinstance(part, slice) or part != slice(None) for part in entries):
            return super().__getitem__(index)
        if isinstance(steps, list):
            steps = np.array(steps, None if steps else np.intp)
        if isinstance(steps, slice) or (isinstance(steps, np.ndarray) and steps.ndim == 1):
            return self if _is_all(steps, len(rows)) else lazy(rows[steps])
        return super().__getitem__(index)


def lazy(rows: Rows) -> da.Array:
    """Return a table of rows as a dask array, (step, ...), chunked along the steps."""
    row_bytes = max(rows.size * rows.dtype.itemsize, 1)
    chunk = max(1, sizes.CHUNK_BYTES // row_bytes)
    with dask.annotate(**{_NAME: rows}):
        array = da.from_array(
            _Table(rows), chunks=(chunk, *rows.shape), name=f"rows-{tokenize(rows)}", asarray=False, fancy=False,
            meta=np.empty((0,) * (1 + len(rows.shape)), rows.dtype), inline_array=True,
        )  # fmt: skip
    return _RowsArray(array.dask, array.name, array.chunks, meta=array._meta)


def rows_of(array: da.Array) -> Rows | None:
    """Return the table of rows of an array that `lazy` made, or of some of its steps; None for any other array."""
    layer = array.dask.layers.get(array.name)
    return (layer.annotations or {}).get(_NAME) if layer is not None else None


def _is_all(steps: slice | np.ndarray, count: int) -> bool:
    return isinstance(steps, slice) and steps.indices(count) == (0, count, 1)
