"""How a kernel runs over a trajectory: blocks of steps, one graph, dask as the scheduler.

Nothing is computed here. `scan` lays out tasks for blocks of steps of each tensor, and gives the kernel's columns
and what it knows of all steps together as arrays. Results do not depend on where blocks begin.
"""

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.task_spec import List, Task, TaskRef

from trajlab.errors import MissingData
from trajlab.scan.block import Kernel
from trajlab.scan.blocks import Companion, Found, Source, Weights
from trajlab.scan.layout import Layout

Tensor = xr.DataArray | Mapping[str, xr.DataArray]
"""One parameter's life, dims (step, ...), or those of many by name, whose results are stacked on `parameter`."""


def scan(
    kernel: Kernel,
    tensor: Tensor,
    *,
    reference: Tensor | int | None = None,
    weight: Tensor | None = None,
    other: Tensor | None = None,
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
    other
        The same tensors of another run, whose rows at the same steps stand beside each row, and if the reference is a
        step of the tensor, whose row at that step stands beside the reference.

    Returns
    -------
    table : (parameter, step, column)
        The kernel's columns of each step; NaN where a parameter has no such step.
    summary : (parameter, summary)
        What the kernel knows of all steps together.

    The dim `parameter` is there if `tensor` is a mapping.
    """
    tensors, weights, others = by_name(tensor), by_name(weight), by_name(other)
    foreign = None if reference is None or isinstance(reference, int) else by_name(reference)
    recorded = {key: array["step"].values for key, array in tensors.items()}
    steps = np.unique(np.concatenate([*recorded.values(), np.empty(0, np.int64)]))
    name = f"scan-{type(kernel).__name__.lower()}-" + tokenize(
        repr(kernel),
        [(key, identity(array)) for key, array in tensors.items()],
        reference if foreign is None else [(key, identity(array)) for key, array in foreign.items()],
        [(key, identity(array)) for key, array in weights.items() if key in tensors],
        [(key, identity(array)) for key, array in others.items() if key in tensors],
    )
    sources: list[Any] = []
    layout = Layout(name, kernel)
    places, shapes, samples = [], [], []
    for key, array in tensors.items():
        rows = Source(array, sources)
        against, at = None, -1
        if foreign is not None:
            against = Source(_alike(array, foreign.get(key)), sources).cut(0, 1)
        elif isinstance(reference, int):
            at = position_of(array, reference)
            against = rows.cut(at, at + 1)
        beside = Weights(weights[key], array, sources) if key in weights else None
        opposite = None if other is None else Companion(_alike(array, others.get(key)), array, sources)
        if opposite is not None and at >= 0 and opposite.position[at] < 0:
            raise MissingData(
                f"step {reference} of {key or 'a tensor'} was asked for of both runs; one has not recorded it. "
                "Choose a step that both have."
            )
        indices = array["index"].values if "index" in array.coords else None
        layout.add(key, rows, against, at, beside, opposite, indices)
        places.append(np.searchsorted(steps, recorded[key]))
        shapes.append(tuple(array.attrs.get("shape", array.shape[1:])))
        samples.append(indices)
    folds, folded = layout.folds() if kernel.folds else ({}, [])
    base = HighLevelGraph.from_collections(name, layout.graph() | folds, dependencies=sources)
    found = List(*(TaskRef(key) for key in layout.groups))
    columns, summary = len(kernel.columns), len(kernel.summary)
    stacked = final(
        base, f"{name}-columns", (len(tensors), len(steps), columns), _stack, found, layout.blocks, places, len(steps),
        columns,
    )  # fmt: skip
    wholes = (_of_folds, List(*folded)) if kernel.folds else (_summaries, found, layout.blocks)
    whole = final(base, f"{name}-summary", (len(tensors), summary), *wholes, kernel, shapes, samples)
    names = np.array(list(tensors), dtype=object)
    said = {name: ("parameter", values) for name, values in about(tensors).items()}
    pooling = ("column", np.array([kernel.pooling.get(name, "sum") for name in kernel.columns], dtype=object))
    labels = {"parameter": names, "step": steps, "column": np.array(kernel.columns, dtype=object), "pooling": pooling}
    labels |= said
    table = xr.DataArray(stacked, labels, ("parameter", "step", "column"), "table")
    facts = xr.DataArray(whole, {"parameter": names} | said, ("parameter", "summary"), "summary")
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


def identity(array: xr.DataArray) -> tuple:
    """Give what a tensor's tasks depend on."""
    return array.data, array["step"].values, array["index"].values if "index" in array.coords else None


def about(tensors: Mapping[str, xr.DataArray]) -> dict[str, np.ndarray]:
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
    if not len(steps):
        raise MissingData(f"step {step} of {array.name or 'a tensor'} was asked for; none is recorded. Leave it out.")
    near = sorted(steps.tolist(), key=lambda recorded: abs(recorded - step))[:3]
    raise MissingData(
        f"step {step} of {array.name or 'a tensor'} was asked for; {len(steps)} steps are recorded, "
        f"the nearest {', '.join(map(str, sorted(near)))}. Choose one of these, 0 for the first or -1 for the last."
    )


def _alike(array: xr.DataArray, other: xr.DataArray | None) -> xr.DataArray:
    """Give a tensor back if it is of the shape and type of another, and holds the same entries."""
    found = "nothing" if other is None else f"{other.dtype} {other.shape[1:]}"
    if other is None or found != f"{array.dtype} {array.shape[1:]}":
        raise MissingData(
            f"a {array.dtype} reference of shape {array.shape[1:]} was asked for {array.name}; {found} was found. "
            "Only runs of one architecture can be compared entry by entry."
        )
    samples = [one["index"].values if "index" in one.coords else np.empty(0) for one in (array, other)]
    if not np.array_equal(samples[0], samples[1]):
        raise MissingData(
            f"the same sampled entries of {array.name} were asked for, to compare it with; others were found. "
            "Record both runs with the same seed=, or compare their weights."
        )
    return other


def _stack(
    found: list[list[list[Found]]], blocks: list[list[tuple[int, int]]], places: list[np.ndarray],
    steps: int, width: int,
) -> np.ndarray:  # fmt: skip
    out = np.full((len(blocks), steps, width), np.nan)
    for position, (of_tensor, place) in enumerate(zip(blocks, places, strict=True)):
        if of_tensor:
            out[position, place] = np.concatenate([found[group][0][at][0] for group, at in of_tensor])
    return out


def _summaries(
    found: list[list[list[Found]]], blocks: list[list[tuple[int, int]]], kernel: Kernel,
    shapes: list[tuple[int, ...]], samples: list[np.ndarray | None],
) -> np.ndarray:  # fmt: skip
    parts = [[found[group][0][at][1] for group, at in of_tensor] for of_tensor in blocks]
    return _of_folds([[reduce(kernel.merge, part)] if part else [] for part in parts], kernel, shapes, samples)


def _of_folds(
    folds: list[list[Any]], kernel: Kernel, shapes: list[tuple[int, ...]], samples: list[np.ndarray | None]
) -> np.ndarray:
    out = np.full((len(folds), len(kernel.summary)), np.nan)
    for position, (fold, shape, sample) in enumerate(zip(folds, shapes, samples, strict=True)):
        for whole in fold:
            out[position] = kernel.summarize(whole, shape, sample)
    return out


def final(scan: HighLevelGraph, name: str, shape: tuple[int, ...], function: Callable, *arguments: Any) -> da.Array:
    """Give what a function makes of a scan as an array of one chunk."""
    key = (name, *(0,) * len(shape))
    graph = HighLevelGraph(
        {**scan.layers, name: MaterializedLayer({key: Task(key, function, *arguments)})},
        {**scan.dependencies, name: set(scan.layers)},
    )
    return da.Array(graph, name, tuple((n,) for n in shape), dtype=np.float64, meta=np.empty((0,) * len(shape)))
