"""Tables of rows as dask arrays, and back."""

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.task_spec import Task

from trajlab import sizes
from trajlab.runs.disk.rows import Rows


class _RowsLayer(MaterializedLayer):
    """Chunks of steps, each read from a table of rows, and the whole table for readers that want it directly."""

    def __init__(self, mapping: dict, rows: Rows):
        super().__init__(mapping)
        self.rows = rows


def lazy(rows: Rows) -> da.Array:
    """Give a table of rows as a dask array, (step, ...), chunked along the steps."""
    name = f"rows-{tokenize(rows)}"
    row_bytes = max(rows.size * rows.dtype.itemsize, 1)
    per_chunk = max(1, min(len(rows), sizes.CHUNK_BYTES // row_bytes))
    starts = range(0, len(rows), per_chunk)
    tail = (0,) * len(rows.shape)
    layer = {}
    for number, start in enumerate(starts):
        key = (name, number, *tail)
        layer[key] = Task(key, Rows.load, rows[start : start + per_chunk])
    chunks = (tuple(min(per_chunk, len(rows) - start) for start in starts) or (0,), *((n,) for n in rows.shape))
    if not layer:
        return da.zeros((0, *rows.shape), dtype=rows.dtype)
    graph = HighLevelGraph({name: _RowsLayer(layer, rows)}, {name: set()})
    return da.Array(graph, name, chunks, dtype=rows.dtype, meta=np.empty((0,) * len(chunks), rows.dtype))


def rows_of(array: da.Array) -> Rows | None:
    """Give the table of rows that an array is exactly, None if it is anything else."""
    layer = array.dask.layers.get(array.name) if isinstance(array.dask, HighLevelGraph) else None
    return layer.rows if isinstance(layer, _RowsLayer) else None
