"""Run a kernel over tensors: blocks of steps, one graph, dask as the scheduler.

Nothing is computed here. `scan` lays out tasks for blocks of steps of each tensor, and returns the kernel's columns
and its summary of all steps as arrays. Results do not depend on where blocks begin.
"""

from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np
import xarray as xr
from dask.base import tokenize

from trajlab.errors import BadSetting, MissingData
from trajlab.scan.block import Kernel, Reduced
from trajlab.scan.graph import Graph
from trajlab.scan.kernels.causes import UnitShape
from trajlab.scan.layout import Layout
from trajlab.scan.source import Source

Tensor = xr.DataArray | Mapping[str, xr.DataArray]
"""One tensor over training, dims (step, ...), or a mapping of several, whose results are stacked on `parameter`."""


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
        The kernel.
    tensor
        The rows.
    reference
        The row that all are compared with: a step of the tensor (see `position_of`), or the only step of another.
    weight
        For gradients: their weights; steps at which these were not recorded are marked as such.
    other
        The same tensors of another run, whose rows at the same steps stand beside each row, and if the reference is a
        step of the tensor, whose row at that step stands beside the reference.

    Returns
    -------
    table : (parameter, step, column)
        The kernel's columns of each step; NaN where a parameter has no such step.
    summary : (parameter, summary)
        The kernel's summary of all steps.

    The dim `parameter` is there if `tensor` is a mapping.
    """
    tensors, weights, others = by_name(tensor), by_name(weight), by_name(other)
    foreign = None if reference is None or isinstance(reference, int) else by_name(reference)
    recorded = {key: array["step"].values for key, array in tensors.items()}
    steps = np.unique(np.concatenate([*recorded.values(), np.empty(0, np.int64)]))
    tokens = {key: tokenize(identity(array)) for key, array in tensors.items()}
    at: dict[str, int] = {}
    if isinstance(reference, int):
        at = {key: position_of(array, reference) for key, array in tensors.items()}
    beside = {
        "reference": at if foreign is None else _tokens(foreign, tensors),
        "weights": _tokens(weights, tensors),
        "other": _tokens(others, tensors),
    }
    name = f"scan-{type(kernel).__name__.lower()}-" + tokenize(repr(kernel), tokens, beside)
    graph = Graph(name)
    layout = Layout(graph, kernel, tuple((part, tokenize(token)) for part, token in beside.items() if token))
    positions, shapes, samples = [], [], []
    for key, array in tensors.items():
        rows = Source(array, graph)
        against = None
        if foreign is not None:
            against = Source(_same_entries(array, foreign.get(key)), graph).rows(0, 1)
        elif key in at:
            against = rows.rows(at[key], at[key] + 1)
        opposite, opposite_reference = None, None
        if other is not None:
            opposite = Source(_same_entries(array, others.get(key)), graph)
            opposite_reference = _opposite_reference(key, opposite, recorded[key][at[key]]) if key in at else None
        indices = array["index"].values if "index" in array.coords else None
        gradient_of = _weights_of(array, weights[key], graph) if key in weights else None
        layout.add(key, tokens[key], rows, against, gradient_of, opposite, opposite_reference, indices)
        positions.append(np.searchsorted(steps, recorded[key]))
        shapes.append(unit_shape(array))
        samples.append(indices)
    passes = layout.passes()
    folded = layout.folded(passes, shapes, samples)
    results = layout.unfolded(passes)
    columns, summary = len(kernel.columns), len(kernel.summary)
    shape = len(tensors), len(steps), columns
    stacked = graph.array("columns", shape, _stack, results, layout.blocks, folded, positions, shape)
    whole = graph.array(
        "summary", (len(tensors), summary), _summaries, results, layout.blocks, folded, kernel, shapes, samples
    )
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
    """Return one tensor, several, or none as a mapping."""
    if tensor is None:
        return {}
    return {"": tensor} if isinstance(tensor, xr.DataArray) else dict(tensor)


def at_step(tensor: Tensor, step: int) -> Tensor:
    """Return one step of one tensor or of several, as `scan` takes a foreign reference."""
    if isinstance(tensor, xr.DataArray):
        at = position_of(tensor, step)
        return tensor.isel(step=slice(at, at + 1))
    rows = {name: (array, position_of(array, step)) for name, array in tensor.items()}
    return {name: array.isel(step=slice(at, at + 1)) for name, (array, at) in rows.items()}


def identity(array: xr.DataArray) -> tuple:
    """Return what the tasks of a tensor depend on."""
    return array.data, array["step"].values, array["index"].values if "index" in array.coords else None


def about(tensors: Mapping[str, xr.DataArray]) -> dict[str, np.ndarray]:
    """Return the coords of each parameter beside its name, (parameter)."""
    arrays = list(tensors.values())
    shapes = [tuple(array.attrs.get("shape", array.shape[1:])) for array in arrays]
    return {
        "module": np.array([array.attrs.get("module", "") for array in arrays], dtype=object),
        "kind": np.array([array.attrs.get("kind", "") for array in arrays], dtype=object),
        "numel": np.array([int(np.prod(shape, dtype=np.int64)) for shape in shapes], dtype=np.int64),
        "sampled": np.array([int(np.prod(array.shape[1:], dtype=np.int64)) for array in arrays], dtype=np.int64),
    }


def unit_shape(array: xr.DataArray) -> UnitShape:
    """Return the shape of a whole parameter, with its axes over units and whether it has a kernel's taps."""
    shape = tuple(array.attrs.get("shape", array.shape[1:]))
    axes = tuple(array.attrs.get("unit_axes", (0,)))
    return UnitShape(shape, axes, len(shape) > 2 and array.attrs.get("kind", "conv") == "conv")


def position_of(array: xr.DataArray, step: int) -> int:
    """Return the position of a step among the recorded ones; 0 is always the first, -1 the last, -2 the one before.

    Raises
    ------
    MissingData
        The step was not recorded.
    """
    steps = array["step"].values
    if len(steps) and (step == 0 or -len(steps) <= step < 0):
        return step % len(steps)
    positions = np.flatnonzero(steps == step)
    if len(positions):
        return int(positions[0])
    name = array.name or "a tensor"
    if not len(steps):
        raise MissingData(f"cannot use step {step} of {name}: it has no recorded step; leave it out")
    near = sorted(steps.tolist(), key=lambda recorded: abs(recorded - step))[:3]
    raise MissingData(
        f"cannot use step {step} of {name}: {len(steps)} other steps are recorded, the nearest "
        f"{', '.join(map(str, sorted(near)))}; choose one of these, 0 for the first or -1 for the last"
    )


def _same_entries(array: xr.DataArray, other: xr.DataArray | None) -> xr.DataArray:
    """Return a tensor, checked to have the shape, type and entries of another."""
    description = "no such tensor" if other is None else f"{other.dtype} {other.shape[1:]}"
    if other is None or description != f"{array.dtype} {array.shape[1:]}":
        raise MissingData(
            f"cannot compare {array.name} entry by entry: it is {array.dtype} {array.shape[1:]}, the other run has "
            f"{description}; compare runs of one architecture"
        )
    samples = [run["index"].values if "index" in run.coords else np.empty(0) for run in (array, other)]
    if not np.array_equal(samples[0], samples[1]):
        raise MissingData(
            f"cannot compare {array.name} entry by entry: the runs recorded different samples of entries; record both "
            "with the same seed=, or compare their weights"
        )
    return other


def _tokens(arrays: Mapping[str, xr.DataArray], tensors: Mapping[str, xr.DataArray]) -> dict[str, str]:
    return {key: tokenize(identity(array)) for key, array in arrays.items() if key in tensors}


def _weights_of(gradient: xr.DataArray, weight: xr.DataArray, graph: Graph) -> Source:
    """Return the weights of a gradient, checked to have its entries."""
    source = Source(weight, graph)
    index = gradient["index"].values if "index" in gradient.coords else None
    entries = int(np.prod(gradient.shape[1:], dtype=np.int64))
    positions = np.arange(entries) if index is None else index
    expected = source.size if index is None else len(index)
    if entries != expected or (len(positions) and not 0 <= positions.min() <= positions.max() < source.size):
        raise BadSetting(
            f"cannot scan the gradients of {weight.name or 'a tensor'} beside its weights: these have {source.size} "
            f"entries, the gradients {entries}, up to position {positions.max(initial=-1)}; pass gradients of the same "
            "tensor"
        )
    return source


def _opposite_reference(key: str, other: Source, step: int) -> Any:
    """Return the row of the other run at the step of the reference as an argument."""
    (position,) = other.positions(np.array([step]))
    if position < 0:
        raise MissingData(
            f"cannot compare {key or 'a tensor'} of two runs with step {step}: one run has not recorded it; choose a "
            "step that both have"
        )
    return other.rows(int(position), int(position) + 1)


def _stack(
    results: list[list[list[Reduced]] | None], blocks: list[list[tuple[int, int]]], folded: list[Reduced | None],
    positions: list[np.ndarray], shape: tuple[int, int, int],
) -> np.ndarray:  # fmt: skip
    out = np.full(shape, np.nan)
    for tensor, (of_tensor, done, position) in enumerate(zip(blocks, folded, positions, strict=True)):
        if done is not None:
            out[tensor, position] = done[0]
        elif of_tensor:
            out[tensor, position] = np.concatenate([columns for columns, _ in _results_of(of_tensor, results)])
    return out


def _summaries(
    results: list[list[list[Reduced]] | None], blocks: list[list[tuple[int, int]]], folded: list[Reduced | None],
    kernel: Kernel, shapes: list[UnitShape], samples: list[np.ndarray | None],
) -> np.ndarray:  # fmt: skip
    out = np.full((len(blocks), len(kernel.summary)), np.nan)
    for tensor, (of_tensor, done, shape, sample) in enumerate(zip(blocks, folded, shapes, samples, strict=True)):
        if done is not None:
            out[tensor] = done[1]
        elif of_tensor:
            total = reduce(kernel.merge, [total for _, total in _results_of(of_tensor, results)])
            out[tensor] = kernel.summarize(total, shape, sample)
    return out


def _results_of(of_tensor: list[tuple[int, int]], results: list[Any]) -> list[Reduced]:
    return [results[group][0][at] for group, at in of_tensor]
