"""How far the values of layers moved: a task a step, that holds its values against those of other steps and inputs."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from dask.task_spec import List, Task, TaskRef

from trajlab.kernels.binned import describe_binned
from trajlab.kernels.bins import EDGES, KEYS, histogram_cuts, listed
from trajlab.kernels.sorting import describe_sorted
from trajlab.kernels.spread import SHIFTS, Spread
from trajlab.observers.values import COLUMNS, Bins
from trajlab.scan import final


class Spreads(NamedTuple):
    """How the values of layers are spread, on inputs of several kinds.

    Parameters
    ----------
    table
        `COLUMNS` of `observers.values`, those of `Spread`, and `SHIFTS` from another kind of inputs at the same step,
        (input, step, layer, column); all of them one chunk.
    edges
        Edges of the histograms, shared by all steps and kinds, (layer, bin_edge).
    """

    table: xr.DataArray
    edges: xr.DataArray


def spreads(
    kinds: Mapping[str, Mapping[str, xr.DataArray]], *, reference: int, versus: str | None,
    quantiles: tuple[float, ...], bins: int,
) -> Spreads:  # fmt: skip
    """Lay out how the values of each layer and step are spread, and how far from other steps; lazily.

    The values of a step are there while it and the next one are described, those of the ends and of the reference
    throughout: memory does not grow with the steps.

    Parameters
    ----------
    kinds
        What `Values` finds on inputs of each kind, at the same steps.
    reference
        Position of the step that the others are compared with.
    versus
        The kind that the others are compared with at each step; none if there is one kind only.
    quantiles
        Which quantiles.
    bins
        Number of bars of the histogram.
    """
    spread = Spread(quantiles, bins)
    first = next(iter(kinds.values()))
    steps, layers = first["table"].sizes["step"], first["table"].sizes["layer"]
    sources = [found[part].data for found in kinds.values() for part in ("table", "values")]
    name = "spreads-" + tokenize([source.name for source in sources], reference, versus, spread)

    def values(kind: str, step: int) -> TaskRef:
        return TaskRef((kinds[kind]["values"].data.name, step, 0))

    def table(kind: str, step: int) -> TaskRef:
        return TaskRef((kinds[kind]["table"].data.name, step, 0, 0))

    cuts, rows = f"{name}-cuts", f"{name}-rows"
    ends = List(*(table(kind, step) for kind in kinds for step in dict.fromkeys((0, steps - 1))))
    tasks: dict[Any, Any] = {cuts: Task(cuts, _cuts, ends, bins)}
    describe = partial(_described, quantiles=np.array(quantiles, np.float64), columns=len(spread.columns))
    for kind in kinds:
        for step in range(steps):
            previous = values(kind, step - 1) if step else None
            other = None if versus in (None, kind) else values(str(versus), step)
            key = (rows, kind, step)
            tasks[key] = Task(
                key,
                describe,
                table(kind, step),
                values(kind, step),
                previous,
                values(kind, reference),
                other,
                TaskRef(cuts),
            )
    each = List(*(List(*(TaskRef((rows, kind, step)) for step in range(steps))) for kind in kinds))
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=sources)
    names = (*COLUMNS, *spread.columns, *(f"versus_{shift}" for shift in SHIFTS))
    coords = {
        "input": np.array(list(kinds), dtype=object),
        "step": first["table"]["step"],
        "layer": first["table"]["layer"],
        "column": np.array(names, dtype=object),
    }
    shape = (len(kinds), steps, layers, len(names))
    stacked = final(graph, f"{name}-table", shape, np.array, each)
    edges = final(graph, f"{name}-edges", (layers, bins + 1), _edges, TaskRef(cuts))
    return Spreads(
        xr.DataArray(stacked, coords, ("input", "step", "layer", "column")),
        xr.DataArray(edges, {"layer": coords["layer"]}, ("layer", "bin_edge")),
    )


def _cuts(ends: Sequence[np.ndarray], bins: int) -> np.ndarray:
    """Give where the histogram of each layer is cut, over the range of the ends of all kinds, (layer, bin + 1)."""
    tables = np.stack(ends)
    low = np.fmin.reduce(tables[:, 0, :, COLUMNS.index("min")])
    high = np.fmax.reduce(tables[:, 0, :, COLUMNS.index("max")])
    return np.stack([histogram_cuts(*of_layer, bins) for of_layer in zip(low, high, strict=True)])


def _edges(cuts: np.ndarray) -> np.ndarray:
    return EDGES[cuts]


def _described(
    table: np.ndarray, rows: np.ndarray, previous: np.ndarray | None, reference: np.ndarray, other: np.ndarray | None,
    cuts: np.ndarray, *, quantiles: np.ndarray, columns: int,
) -> np.ndarray:  # fmt: skip
    """Describe the values of all layers at a step, (layer, column)."""
    out = np.full((len(cuts), columns + len(SHIFTS)), np.nan)
    at = len(quantiles) + cuts.shape[1] - 1
    for layer, row in enumerate(rows[0]):
        before = None if previous is None else previous[0, layer]
        out[layer, :columns] = _spread(row, before, reference[0, layer], cuts[layer], quantiles, columns)
        if other is not None:
            apart = _spread(row, None, other[0, layer], cuts[layer], quantiles, columns)
            out[layer, columns:] = apart[at : at + len(SHIFTS)]
    return np.concatenate([table[0], out], axis=1)


def _spread(
    row: np.ndarray | Bins, previous: Any, reference: Any, cuts: np.ndarray, quantiles: np.ndarray, columns: int
) -> np.ndarray:
    """Give the columns of `Spread` of one layer at one step."""
    out = np.empty((1, columns))
    if isinstance(row, Bins):
        before = np.zeros(KEYS, np.int64) if previous is None else previous.spread()
        describe_binned(row.spread()[None], before, listed(reference.spread()), quantiles, cuts, EDGES, out)
    else:
        describe_sorted(row[None], row[:0] if previous is None else previous, reference, quantiles, cuts, EDGES, out)
    return out[0]
