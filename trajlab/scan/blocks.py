"""Blocks of steps of a tensor as arguments of tasks, and the task that reduces one."""

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.task_spec import TaskRef

from trajlab import sizes
from trajlab.errors import BadSetting
from trajlab.runs.disk.lazy import rows_of
from trajlab.runs.disk.rows import Rows, views
from trajlab.scan.block import Block, Kernel, computable, reduce
from trajlab.scan.window import readable

Found = tuple[np.ndarray, Any]
"""What a kernel finds in a block: its columns, (step, column), and what is known of all steps together."""


class Source:
    """The life of one tensor as something that tasks can be given pieces of."""

    def __init__(self, array: xr.DataArray, sources: list[da.Array]):
        self.steps = array.sizes["step"]
        self.step = array["step"].values
        data = (array if array.dims[0] == "step" else array.transpose("step", ...)).data
        if data.dtype.kind not in "fiub":
            raise BadSetting(
                f"real numbers were expected in {array.name or 'a tensor'}; it is {data.dtype}. "
                "Leave it out, or give its real and imaginary parts as tensors of their own."
            )
        self.size = int(np.prod(data.shape[1:], dtype=np.int64))
        self.itemsize = data.dtype.itemsize
        self.sources = sources
        table = rows_of(data) if isinstance(data, da.Array) else None
        self.data: Rows | np.ndarray | da.Array = data if table is None else table

    def cut(self, start: int, stop: int) -> Any:
        """Give the rows from `start` to before `stop` as the argument of a task, None if there are none."""
        start = max(start, 0)
        if start >= stop:
            return None
        piece = self.data[start:stop]
        if not isinstance(piece, da.Array):
            return piece
        return self._whole(piece)

    def entries(self, start: int, stop: int) -> Any:
        """Give the entries from `start` to before `stop` of all flat rows as the argument of a task."""
        if isinstance(self.data, Rows):
            return self.data.entries(start, stop)
        piece = self.data.reshape(self.steps, -1)[:, start:stop]
        return self._whole(piece) if isinstance(piece, da.Array) else piece

    def _whole(self, piece: da.Array) -> TaskRef:
        piece = piece.rechunk(-1)
        self.sources.append(piece)
        return TaskRef((piece.name, *(0,) * piece.ndim))

    def blocks(self, most_bytes: int | None = None) -> list[tuple[int, int]]:
        """Give where blocks start and stop: about equally long, and of few bytes unless a tile at a time is read."""
        most = sizes.SHORT_BLOCK_STEPS if self.size <= sizes.SHORT_ENTRIES else sizes.BLOCK_STEPS
        if most_bytes or self.size <= sizes.SHORT_ENTRIES or not (isinstance(self.data, Rows) and readable(self.data)):
            held = min(sizes.BLOCK_BYTES, most_bytes or sizes.BLOCK_BYTES)
            most = min(most, max(1, held // max(self.size * self.itemsize, 1)))
        edges = np.linspace(0, self.steps, -(-self.steps // most) + 1).astype(int).tolist()
        return list(zip(edges[:-1], edges[1:], strict=True))


class Companion:
    """The rows of another tensor at the steps of a tensor, as far as they were recorded."""

    def __init__(self, other: xr.DataArray, array: xr.DataArray, sources: list[da.Array]):
        self.source = Source(other, sources)
        steps, wanted = other["step"].values, array["step"].values
        self.position = np.where(np.isin(wanted, steps), np.searchsorted(steps, wanted), -1)

    def cut(self, start: int, stop: int) -> tuple[Any, np.ndarray]:
        """Give the rows recorded at the tensor's steps `start` to before `stop`, and each step's place in them."""
        position = self.position[max(start, 0) : stop]
        known = position[position >= 0]
        if not len(known):
            return None, position
        first = int(known[0])
        return self.source.cut(first, int(known[-1]) + 1), np.where(position >= 0, position - first, -1)


class Weights(Companion):
    """The weights at the steps of a gradient, as far as they were recorded."""

    def __init__(self, weight: xr.DataArray, gradient: xr.DataArray, sources: list[da.Array]):
        super().__init__(weight, gradient, sources)
        index = gradient["index"].values if "index" in gradient.coords else None
        entries = int(np.prod(gradient.shape[1:], dtype=np.int64))
        positions = np.arange(entries) if index is None else index
        expected = self.source.size if index is None else len(index)
        if entries != expected or (len(positions) and not 0 <= positions.min() <= positions.max() < self.source.size):
            raise BadSetting(
                f"gradients of the {self.source.size} entries of {weight.name or 'a tensor'} were expected; they have "
                f"{entries} entries, or stand at positions outside it. Give gradients of the weights' own shape."
            )


def prepare(kernel: Kernel, first: Any, last: Any, reference: Any) -> Any:
    """Give what a kernel's blocks of one tensor share; rows come as tables or arrays."""
    return kernel.prepare([*_arrays(first), *_arrays(last)], _only(_arrays(reference)))


def reduce_blocks(
    kernels: Sequence[Kernel], shared: Sequence[Sequence[Any]], blocks: Sequence[Sequence[Any]]
) -> list[list[Found]]:
    """Give what each kernel finds in each of some blocks.

    Parameters
    ----------
    kernels
        The kernels.
    shared
        What each kernel prepared for each block's tensor; None where the block is all of it, or nothing is needed.
    blocks
        Of each block the rows, the one before, the reference, the weights, the place of each step among them, the
        weights before, the same of another run with the places and the row at the reference, the indices, and the
        steps; rows come as tables or arrays.
    """
    remote = [piece for block in blocks for piece in block if isinstance(piece, Rows) and piece.remote]
    fetched = dict(zip(map(id, remote), views(remote), strict=True))
    found = [
        _reduce_block(kernels, known, _shape(block[0]), *(fetched.get(id(piece), piece) for piece in block))
        for known, block in zip(zip(*shared, strict=True), blocks, strict=True)
    ]
    return [list(of_kernel) for of_kernel in zip(*found, strict=True)]


def _reduce_block(
    kernels: Sequence[Kernel], shared: Sequence[Any], shape: tuple[int, ...], rows: Any, previous: Any, reference: Any,
    weights: Any, places: np.ndarray | None, weights_previous: Any, other: Any, other_places: np.ndarray | None,
    other_reference: Any, indices: np.ndarray | None, step: np.ndarray,
) -> list[Found]:  # fmt: skip
    rows_of = _rows if indices is None else _arrays
    block = Block(
        rows=_rows(rows),
        previous=_only(_rows(previous)),
        reference=_only(_rows(reference)),
        weights=rows_of(weights),
        places=places,
        weights_previous=_only(rows_of(weights_previous)),
        other=_rows(other),
        other_places=other_places,
        other_reference=_only(_rows(other_reference)),
        indices=indices,
        step=step,
        shape=shape,
    )
    known = [
        prepare(kernel, rows[:1], rows[-1:], reference) if kernel.prepares and one is None else one
        for kernel, one in zip(kernels, shared, strict=True)
    ]
    return reduce(kernels, block, known)


def _shape(rows: Rows | np.ndarray) -> tuple[int, ...]:
    """Give the shape of the tensor at one step."""
    return rows.shape if isinstance(rows, Rows) else rows.shape[1:]


def _rows(rows: Rows | np.ndarray | list[np.ndarray] | None) -> Rows | list[np.ndarray]:
    """Give long rows in files as they are, to be read a tile at a time, and all others as arrays."""
    if isinstance(rows, Rows) and readable(rows):
        return rows if rows.size > sizes.SHORT_ENTRIES else list(rows.read())
    return _arrays(rows)


def _arrays(rows: Rows | np.ndarray | list[np.ndarray] | None) -> list[np.ndarray]:
    if isinstance(rows, Rows):
        rows = rows.views()
    elif isinstance(rows, np.ndarray):
        rows = list(rows.reshape(len(rows), -1))
    return [computable(row) for row in rows or ()]


def _only(rows: Rows | list[np.ndarray]) -> Any:
    """Give the only row, as a table of one or as an array, None if there is none."""
    return rows if isinstance(rows, Rows) else next(iter(rows), None)
