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


def lazy(rows: Rows) -> da.Array:
    """Return a table of rows as a dask array, (step, ...), chunked along the steps."""
    row_bytes = max(rows.size * rows.dtype.itemsize, 1)
    chunk = max(1, sizes.CHUNK_BYTES // row_bytes)
    with dask.annotate(**{_NAME: rows}):
        return da.from_array(
            _Table(rows), chunks=(chunk, *rows.shape), name=f"rows-{tokenize(rows)}", asarray=False, fancy=False,
            meta=np.empty((0,) * (1 + len(rows.shape)), rows.dtype), inline_array=True,
        )  # fmt: skip


def rows_of(array: da.Array) -> Rows | None:
    """Return the table of rows of an array that `lazy` made, None for any other array."""
    layer = array.dask.layers.get(array.name)
    return (layer.annotations or {}).get(_NAME) if layer is not None else None
