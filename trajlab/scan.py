"""How a kernel runs over a trajectory: blocks of steps of mapped bytes, one graph, dask as the scheduler.

Nothing is computed here. `scan` lays out one task for each block of steps of each tensor, chains what the blocks
know together, and gives the kernel's columns as a Dataset. Results do not depend on where blocks begin.
"""

from collections.abc import Callable, Mapping
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.task_spec import List, Task, TaskRef

from trajlab.blocks import Source, Weights, prepare, reduce_block
from trajlab.errors import MissingData
from trajlab.kernels.block import Kernel

Tensor = xr.DataArray | Mapping[str, xr.DataArray]
"""One parameter's life, dims (step, ...), or those of many by name, whose results are stacked on `parameter`."""


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
    tensors, weights = by_name(tensor), by_name(weight)
    foreign = None if reference is None or isinstance(reference, int) else by_name(reference)
    steps = np.unique(np.concatenate([array["step"].values for array in tensors.values()] or [np.empty(0, np.int64)]))
    name = f"scan-{type(kernel).__name__.lower()}-" + tokenize(
        repr(kernel),
        [(key, _identity(array)) for key, array in tensors.items()],
        reference if foreign is None else [(key, _identity(array)) for key, array in foreign.items()],
        [(key, _identity(array)) for key, array in weights.items() if key in tensors],
    )
    graph: dict[Any, Any] = {}
    sources: list[Any] = []
    finals, places, shapes, samples = [], [], [], []
    for key, array in tensors.items():
        rows = Source(array, sources)
        against = None
        if foreign is not None:
            against = _foreign(array, foreign.get(key), sources)
        elif isinstance(reference, int):
            at = position_of(array, reference)
            against = rows.cut(at, at + 1)
        other = Weights(weights[key], array, sources) if key in weights else None
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
    if isinstance(tensor, xr.DataArray):
        return table.isel(parameter=0).drop_vars("parameter"), facts.isel(parameter=0).drop_vars("parameter")
    return table, facts


def by_name(tensor: Tensor | None) -> dict[str, xr.DataArray]:
    """Give one tensor, or many, or none, as tensors by name."""
    if tensor is None:
        return {}
    return {"": tensor} if isinstance(tensor, xr.DataArray) else dict(tensor)


def at_step(tensor: Tensor, step: int) -> Tensor:
    """Give one step of one tensor or of many, as `scan` takes a foreign reference."""
    if isinstance(tensor, xr.DataArray):
        at = position_of(tensor, step)
        return tensor.isel(step=slice(at, at + 1))
    rows = {name: (array, position_of(array, step)) for name, array in tensor.items()}
    return {name: array.isel(step=slice(at, at + 1)) for name, (array, at) in rows.items()}


def _identity(array: xr.DataArray) -> tuple:
    """Give what a tensor's tasks depend on."""
    return array.data, array["step"].values, array["index"].values if "index" in array.coords else None


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
    return Source(reference, sources).cut(0, 1)


def _chain(
    graph: dict, name: str, key: str, kernel: Kernel, rows: Source, reference: Any, weights: Weights | None,
    indices: np.ndarray | None,
) -> tuple:  # fmt: skip
    """Lay out the tasks of one tensor: its blocks, each joined to those before it; give the key of the last."""
    shared = None
    if kernel.prepares and rows.steps:
        known = (f"{name}-shared", key)
        ends = List(rows.cut(0, 1), rows.cut(rows.steps - 1, rows.steps))
        graph[known] = Task(known, prepare, kernel, ends, reference)
        shared = TaskRef(known)
    last: tuple = (f"{name}-none", key)
    graph[last] = Task(last, tuple)
    for number, (start, stop) in enumerate(rows.blocks()):
        block = (f"{name}-block", key, number)
        companions = None
        if weights is not None:
            companions = List(*weights.cut(start, stop), weights.cut(start - 1, start)[0])
        graph[block] = Task(
            block, reduce_block, List(kernel), List(shared), rows.cut(start, stop), rows.cut(start - 1, start),
            reference, companions, indices,
        )  # fmt: skip
        joined = (f"{name}-joined", key, number)
        graph[joined] = Task(joined, _join, kernel, TaskRef(last), TaskRef(block))
        last = joined
    return last


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
