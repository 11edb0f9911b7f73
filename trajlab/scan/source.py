"""A tensor whose rows, or spans of entries, are arguments of tasks."""

import math
from typing import Any

import dask.array as da
import ml_dtypes
import numpy as np
import xarray as xr

from trajlab import sizes
from trajlab.errors import BadSetting
from trajlab.runs.disk.lazy import rows_of
from trajlab.runs.disk.rows import Rows
from trajlab.scan.graph import Graph, call
from trajlab.scan.track import Track
from trajlab.scan.window import readable

LARGEST_INTEGER = 2**53
"""Up to which float64 holds every integer."""


class Source:
    """A tensor over training, parts of which are arguments of the tasks of a graph.

    Attributes
    ----------
    steps
        Number of recorded steps.
    step
        The optimizer steps, (step).
    shape
        Shape of the whole tensor at one step; a row may hold a sample of it.
    size, itemsize
        Entries of a row, and bytes of an entry.
    epsilon
        Spacing at 1 of the floats that the tensor was stored in, 0 for integers.
    block_steps
        Steps of each block, for tensors that are only made together, such as the activations of all layers in a pass;
        None for others. It is an entry of the encoding of the array.
    """

    def __init__(self, array: xr.DataArray, graph: Graph):
        self.step = array["step"].values
        self.steps = len(self.step)
        data = (array if array.dims[0] == "step" else array.transpose("step", ...)).data
        if data.dtype.kind not in "fiub":
            raise BadSetting(
                f"cannot scan {array.name or 'a tensor'}: it holds {data.dtype}, not real numbers; leave it out, or "
                "pass its real and imaginary parts as two tensors"
            )
        self.shape = tuple(array.attrs.get("shape", data.shape[1:]))
        self.size = int(np.prod(data.shape[1:], dtype=np.int64))
        self.epsilon = epsilon_of(array.attrs.get("stored_dtype", data.dtype.name))
        self.itemsize = data.dtype.itemsize
        self.block_steps: int | None = array.encoding.get("block_steps")
        self._graph = graph
        if data.dtype in (np.int64, np.uint64):
            data = _exact(data, str(array.name or "a tensor"))
        table = rows_of(data) if isinstance(data, da.Array) else None
        self._data: Rows | np.ndarray | da.Array = data if table is None else table

    @property
    def reads_tiles(self) -> bool:
        """Whether rows are read a tile at a time."""
        return self.size > sizes.SHORT_ENTRIES and isinstance(self._data, Rows) and readable(self._data)

    def rows(self, start: int, stop: int) -> Any:
        """Return the rows from `start` to before `stop` as an argument, None if there are none."""
        start = max(start, 0)
        return self._argument(self._data[start:stop]) if start < stop else None

    def ends(self) -> Any:
        """Return the first and the last row as an argument."""
        return self._argument(self._data[[0, -1]])

    def entries(self, start: int, stop: int) -> Any:
        """Return the entries from `start` to before `stop` of all flat rows as an argument."""
        if isinstance(self._data, Rows):
            return self._data.entries(start, stop)
        return self._argument(self._data.reshape(self.steps, -1)[:, start:stop])

    def track(self, start: int, stop: int, reference: Any) -> Any:
        """Return the track of a block of steps as an argument."""
        return call(Track, self.rows(start, stop), self.rows(start - 1, start), reference)

    def positions(self, steps: np.ndarray) -> np.ndarray:
        """Return the position of each optimizer step among the recorded ones, (step); -1 where none was recorded."""
        return np.where(np.isin(steps, self.step), np.searchsorted(self.step, steps), -1)

    def track_at(self, positions: np.ndarray, previous: int = -1, reference: Any = None) -> Any:
        """Return the track at the steps of a block of another tensor as an argument.

        Parameters
        ----------
        positions
            Position of each of the block's steps among the recorded ones, (step); -1 where none was recorded.
        previous
            Position of the step before the block, -1 for none.
        reference
            The row that all are compared with, as an argument.
        """
        recorded = positions[positions >= 0]
        first, stop = (int(recorded[0]), int(recorded[-1]) + 1) if len(recorded) else (0, 0)
        before = self.rows(previous, previous + 1) if previous >= 0 else None
        return call(Track, self.rows(first, stop), before, reference, np.where(positions >= 0, positions - first, -1))

    def _argument(self, part: Any) -> Any:
        return part if isinstance(part, Rows) else self._graph.whole(part)

    def blocks(self, most_bytes: int | None = None) -> list[tuple[int, int]]:
        """Return where blocks start and stop: about equally long, and small unless rows are read a tile at a time."""
        most = sizes.SHORT_BLOCK_STEPS if self.size <= sizes.SHORT_ENTRIES else sizes.BLOCK_STEPS
        if most_bytes or not self.reads_tiles:
            held = min(sizes.BLOCK_BYTES, most_bytes or sizes.BLOCK_BYTES)
            most = min(most, max(1, held // max(self.size * self.itemsize, 1)))
        most = self.block_steps or most
        edges = np.linspace(0, self.steps, -(-self.steps // most) + 1).astype(int).tolist()
        return list(zip(edges[:-1], edges[1:], strict=True))


def is_sample(array: xr.DataArray) -> bool:
    """Return whether only a sample of the entries of a tensor was recorded."""
    recorded = math.prod(size for dim, size in array.sizes.items() if dim != "step")
    return math.prod(array.attrs.get("shape", (recorded,))) != recorded


def epsilon_of(dtype: str) -> float:
    """Return the spacing at 1 of a type of floats; 0 for other types.

    >>> epsilon_of("bfloat16"), epsilon_of("int8")
    (0.0078125, 0.0)
    """
    try:
        return float(ml_dtypes.finfo(dtype).eps)
    except (TypeError, ValueError):
        return 0.0


def smallest_of(dtype: str) -> float:
    """Return the smallest number above 0 of a type of floats; 0 for other types.

    >>> smallest_of("bfloat16") == 2.0**-133, smallest_of("int8")
    (True, 0.0)
    """
    try:
        return float(ml_dtypes.finfo(dtype).smallest_subnormal)
    except (TypeError, ValueError):
        return 0.0


def _exact(data: np.ndarray | da.Array, name: str) -> np.ndarray | da.Array:
    """Return integers as float64, checked to be the same numbers when they are computed."""
    return da.map_blocks(_floats, data, name, dtype=np.float64) if isinstance(data, da.Array) else _floats(data, name)


def _floats(integers: np.ndarray, name: str) -> np.ndarray:
    far = integers[(integers > LARGEST_INTEGER) | (integers < -LARGEST_INTEGER)]
    if far.size:
        raise BadSetting(
            f"cannot scan {name}: it holds the integer {far.flat[0]}, beyond 2⁵³, which float64 rounds; leave it out, "
            "or pass it as two tensors of its high and its low bits"
        )
    return integers.astype(np.float64)
