"""How a kernel runs over a trajectory: blocks of steps of mapped bytes, one graph, dask as the scheduler.

Nothing is computed here. `scan` lays out one task for each block of steps of each tensor, chains what the blocks
know together, and gives the kernel's columns as a Dataset. Results do not depend on where blocks begin.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.task_spec import List, Task, TaskRef

from trajlab.errors import MissingData
from trajlab.kernels.block import Block, Kernel, computable, reduce
from trajlab.kernels.spread import EXACT
from trajlab.snapshots.lazy import rows_of
from trajlab.snapshots.rows import Rows

Tensor = xr.DataArray | Mapping[str, xr.DataArray]
"""One parameter's life, dims (step, ...), or those of many by name, whose results are stacked on `parameter`."""

BLOCK_BYTES = 1 << 26
"""About how many bytes of a tensor one task reads."""

BLOCK_STEPS = 64
"""Steps that one task covers at most where a tensor is long, so that its histograms stay small."""


def scan(
    kernel: Kernel,
    tensor: Tensor,
    *,
    reference: Tensor | int | None = None,
    weight: Tensor | None = None,
) -> tuple[xr.DataArray, xr.DataArray]:
    """Run a kernel over one tensor or many, lazily.

    Parameters
    ----------
    kernel
        What to compute.
    tensor
        The rows.
    reference
        What each row is compared with: a step of the tensor itself (see `position_of`), or the only step of another.
    weight
        For gradients: the weights that they belong to; steps at which these were not recorded are known as such.

    Returns
    -------
    table : (parameter, step, column)
        The kernel's columns of each step; NaN where a parameter has no such step.
    summary : (parameter, summary)
        What the kernel knows of all steps together.

    The dim `parameter` is there if `tensor` is a mapping.
    """
    one = isinstance(tensor, xr.DataArray)
    tensors = {"": tensor} if one else dict(tensor)
    references = {"": reference} if isinstance(reference, xr.DataArray) else reference
    weights = {"": weight} if isinstance(weight, xr.DataArray) else (weight or {})
    steps = np.unique(np.concatenate([array["step"].values for array in tensors.values()] or [np.empty(0, np.int64)]))
    name = f"scan-{type(kernel).__name__.lower()}-" + tokenize(
        repr(kernel), *((key, array.data, array["step"].values) for key, array in tensors.items()),
        {key: array.data for key, array in references.items()} if isinstance(references, Mapping) else references,
        {key: array.data for key, array in weights.items() if key in tensors},
    )  # fmt: skip
    graph: dict[Any, Any] = {}
    sources: list[da.Array] = []
    finals, places, shapes, samples = [], [], [], []
    for key, array in tensors.items():
        rows = _Source(array, sources)
        if isinstance(references, Mapping):
            against = _foreign(array, references.get(key), sources)
        elif references is not None:
            at = position_of(array, references)
            against = rows.cut(at, at + 1)
        else:
            against = None
        other = _Weights(weights[key], array, sources) if key in weights else None
        indices = array["index"].values if "index" in array.coords else None
        finals.append(_chain(graph, name, key, kernel, rows, against, other, indices))
        places.append(np.searchsorted(steps, array["step"].values))
        shapes.append(tuple(array.attrs.get("shape", array.shape[1:])))
        samples.append(indices)
    base = HighLevelGraph.from_collections(name, graph, dependencies=sources)
    joined = List(*(TaskRef(key) for key in finals))
    columns, summary = len(kernel.columns), len(kernel.summary)
    stacked = _final(
        base, f"{name}-columns", (len(tensors), len(steps), columns), _stack, joined, places, len(steps), columns
    )
    whole = _final(base, f"{name}-summary", (len(tensors), summary), _summaries, kernel, joined, shapes, samples)
    names = np.array(list(tensors), dtype=object)
    about = {name: ("parameter", values) for name, values in _about(tensors).items()}
    labels = {"parameter": names, "step": steps, "column": np.array(kernel.columns, dtype=object)} | about
    table = xr.DataArray(stacked, labels, ("parameter", "step", "column"), "table")
    facts = xr.DataArray(whole, {"parameter": names} | about, ("parameter", "summary"), "summary")
    if one:
        return table.isel(parameter=0).drop_vars("parameter"), facts.isel(parameter=0).drop_vars("parameter")
    return table, facts


def _about(tensors: Mapping[str, xr.DataArray]) -> dict[str, np.ndarray]:
    """Give what is said of each parameter beside its name, (parameter)."""
    arrays = list(tensors.values())
    shapes = [tuple(array.attrs.get("shape", array.shape[1:])) for array in arrays]
    return {
        "module": np.array([array.attrs.get("module", "") for array in arrays], dtype=object),
        "kind": np.array([array.attrs.get("kind", "") for array in arrays], dtype=object),
        "numel": np.array([int(np.prod(shape, dtype=np.int64)) for shape in shapes], dtype=np.int64),
        "sampled": np.array([int(np.prod(array.shape[1:], dtype=np.int64)) for array in arrays], dtype=np.int64),
    }


def position_of(array: xr.DataArray, step: int) -> int:
    """Find a step among the recorded ones; 0 is the first one in any case, and -1 the last, -2 the one before.

    Raises
    ------
    MissingData
        The step was not recorded.
    """
    steps = array["step"].values
    if len(steps) and (step == 0 or -len(steps) <= step < 0):
        return step % len(steps)
    found = np.flatnonzero(steps == step)
    if len(found):
        return int(found[0])
    near = sorted(steps.tolist(), key=lambda recorded: abs(recorded - step))[:3]
    raise MissingData(
        f"step {step} of {array.name or 'a tensor'} was asked for as reference; {len(steps)} steps are recorded, "
        f"the nearest {', '.join(map(str, sorted(near)))}. Choose one of these, 0 for the first or -1 for the last."
    )


def _foreign(array: xr.DataArray, reference: xr.DataArray | None, sources: list[da.Array]) -> Any:
    """Give the only row of another tensor, that must be of the same shape and type, as the argument of a task."""
    found = "nothing" if reference is None else f"{reference.dtype} {reference.shape[1:]}"
    if reference is None or found != f"{array.dtype} {array.shape[1:]}":
        raise MissingData(
            f"a {array.dtype} reference of shape {array.shape[1:]} was asked for {array.name}; {found} was found. "
            "Only runs of one architecture can be compared entry by entry."
        )
    return _Source(reference, sources).cut(0, 1)


class _Source:
    """The life of one tensor as something that tasks can be given pieces of."""

    def __init__(self, array: xr.DataArray, sources: list[da.Array]):
        self.steps = array.sizes["step"]
        data = array.transpose("step", ...).data
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
        piece = piece.rechunk(-1)
        self.sources.append(piece)
        return TaskRef((piece.name, *(0,) * piece.ndim))

    def blocks(self) -> list[tuple[int, int]]:
        """Give where blocks of about `BLOCK_BYTES` start and stop."""
        most = max(1, BLOCK_BYTES // max(self.size * self.itemsize, 1))
        most = min(most, BLOCK_STEPS if self.size > EXACT else 64 * BLOCK_STEPS)
        return [(start, min(start + most, self.steps)) for start in range(0, self.steps, most)]


class _Weights:
    """The weights at the steps of a gradient, as far as they were recorded."""

    def __init__(self, weight: xr.DataArray, gradient: xr.DataArray, sources: list[da.Array]):
        self.source = _Source(weight, sources)
        steps, wanted = weight["step"].values, gradient["step"].values
        position = np.searchsorted(steps, wanted)
        known = np.isin(wanted, steps)
        self.position = np.where(known, position, -1)

    def cut(self, start: int, stop: int) -> tuple[Any, np.ndarray]:
        """Give the rows recorded at the gradient's steps `start` to before `stop`, and each step's place in them."""
        position = self.position[max(start, 0) : stop]
        known = position[position >= 0]
        if not len(known):
            return None, position
        first = int(known[0])
        return self.source.cut(first, int(known[-1]) + 1), np.where(position >= 0, position - first, -1)


def _chain(
    graph: dict, name: str, key: str, kernel: Kernel, rows: _Source, reference: Any, weights: _Weights | None,
    indices: np.ndarray | None,
) -> tuple:  # fmt: skip
    """Lay out the tasks of one tensor: its blocks, each joined to those before it; give the key of the last."""
    ends = List(rows.cut(0, 1), rows.cut(rows.steps - 1, rows.steps))
    last = (f"{name}-none", key)
    graph[last] = Task(last, tuple)
    for number, (start, stop) in enumerate(rows.blocks()):
        block = (f"{name}-block", key, number)
        companions = None
        if weights is not None:
            companions = List(*weights.cut(start, stop), weights.cut(start - 1, start)[0])
        graph[block] = Task(
            block, reduce_block, List(kernel), rows.cut(start, stop), rows.cut(start - 1, start), reference, ends,
            companions, indices,
        )  # fmt: skip
        joined = (f"{name}-joined", key, number)
        graph[joined] = Task(joined, _join, kernel, TaskRef(last), TaskRef(block))
        last = joined
    return last


def reduce_block(
    kernels: Sequence[Kernel], rows: Any, previous: Any, reference: Any, ends: Sequence[Any],
    companions: Sequence[Any] | None, indices: np.ndarray | None,
) -> list[tuple[np.ndarray, Any]]:  # fmt: skip
    """Give what each kernel finds in one block; rows come as tables or arrays."""
    weights, weights_previous = None, None
    if companions is not None:
        recorded = _flat(companions[0])
        weights = [recorded[place] if place >= 0 else None for place in companions[1]]
        weights_previous = _only(companions[2])
    block = Block(
        rows=_flat(rows),
        previous=_only(previous),
        reference=_only(reference),
        ends=[row for end in ends for row in _flat(end)],
        weights=weights,
        weights_previous=weights_previous,
        indices=indices,
    )
    return reduce(kernels, block)


def _flat(rows: Rows | np.ndarray | None) -> list[np.ndarray]:
    if rows is None:
        return []
    views = rows.views() if isinstance(rows, Rows) else np.asarray(rows).reshape(len(rows), -1)
    return [computable(view) for view in views]


def _only(rows: Rows | np.ndarray | None) -> np.ndarray | None:
    return None if rows is None else _flat(rows)[0]


def _join(kernel: Kernel, earlier: tuple, found: list[tuple[np.ndarray, Any]]) -> tuple:
    ((rows, whole),) = found
    if not earlier:
        return [rows], whole
    return [*earlier[0], rows], kernel.merge(earlier[1], whole)


def _stack(tensors: list[tuple], places: list[np.ndarray], steps: int, width: int) -> np.ndarray:
    out = np.full((len(tensors), steps, width), np.nan)
    for position, (tensor, place) in enumerate(zip(tensors, places, strict=True)):
        if tensor:
            out[position, place] = np.concatenate(tensor[0])
    return out


def _summaries(kernel: Kernel, tensors: list[tuple], shapes: list[tuple], samples: list) -> np.ndarray:
    out = np.full((len(tensors), len(kernel.summary)), np.nan)
    for position, (tensor, shape, sample) in enumerate(zip(tensors, shapes, samples, strict=True)):
        if tensor:
            out[position] = kernel.summarize(tensor[1], shape, sample)
    return out


def _final(scan: HighLevelGraph, name: str, shape: tuple[int, ...], function: Callable, *arguments: Any) -> da.Array:
    """Give what a function makes of a scan as an array of one chunk."""
    key = (name, *(0,) * len(shape))
    graph = HighLevelGraph(
        {**scan.layers, name: MaterializedLayer({key: Task(key, function, *arguments)})},
        {**scan.dependencies, name: set(scan.layers)},
    )
    return da.Array(graph, name, tuple((n,) for n in shape), dtype=np.float64, meta=np.empty((0,) * len(shape)))


def at_step(tensor: Tensor, step: int) -> Tensor:
    """Give one step of one tensor or of many, as `scan` takes a foreign reference."""
    if isinstance(tensor, xr.DataArray):
        at = position_of(tensor, step)
        return tensor.isel(step=slice(at, at + 1))
    return {name: at_step(array, step) for name, array in tensor.items()}
