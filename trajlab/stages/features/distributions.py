"""How far the values of layers moved: a task a step, that holds its values against those of other steps and inputs."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from dask.base import tokenize

from trajlab.replays.observers.distribution import COLUMNS
from trajlab.scan.graph import Graph
from trajlab.scan.kernels.bars import add_to_bars, bar_edges, bars_of_bins
from trajlab.scan.kernels.binned_distances import describe_bins
from trajlab.scan.kernels.chance import bridges
from trajlab.scan.kernels.distribution import CHANCE, EXACT, SHIFTS, Distribution
from trajlab.scan.kernels.sorted_distances import describe_sorted
from trajlab.scan.kernels.split_bins import Bins, bins_of


class Distributions(NamedTuple):
    """How the values of layers are spread, on inputs of several kinds.

    Parameters
    ----------
    table
        `COLUMNS` of `Values`, those of `Spread` but for `CHANCE`, and `SHIFTS` from another kind of inputs at the same
        step, (input, step, layer, column); in one chunk.
    edges
        Edges of the histograms, shared by all steps and kinds, (layer, bin_edge).
    """

    table: xr.DataArray
    edges: xr.DataArray


def distributions_of(
    kinds: Mapping[str, Mapping[str, xr.DataArray]], *, reference: int, versus: str | None,
    quantiles: tuple[float, ...], bins: int,
) -> Distributions:  # fmt: skip
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
    spread = Distribution(quantiles, bins)
    spread_columns = spread.columns[: -len(CHANCE)]
    first = next(iter(kinds.values()))
    steps, layers = first["table"].sizes["step"], first["table"].sizes["layer"]
    sources = [tables[part].data for tables in kinds.values() for part in ("table", "values")]
    graph = Graph("spreads-" + tokenize([source.name for source in sources], reference, versus, spread))

    def values(kind: str, step: int) -> Any:
        return graph.chunk(kinds[kind]["values"].data, step)

    def table(kind: str, step: int) -> Any:
        return graph.chunk(kinds[kind]["table"].data, step)

    ends = [table(kind, step) for kind in kinds for step in dict.fromkeys((0, steps - 1))]
    edges = graph.add(("edges",), _edges, ends, bins)
    describe = partial(
        _described,
        versus=None if versus is None else list(kinds).index(versus),
        quantiles=np.array(quantiles, np.float64),
        columns=len(spread_columns),
    )
    references = [values(kind, reference) for kind in kinds]
    rows: Any = []
    for step in range(steps):
        rows = graph.add(
            ("rows", step),
            describe,
            rows,
            [table(kind, step) for kind in kinds],
            [values(kind, step) for kind in kinds],
            [values(kind, step - 1) if step else None for kind in kinds],
            references,
            edges,
        )
    names = (*COLUMNS, *spread_columns, *(f"versus_{shift}" for shift in SHIFTS))
    coords = {
        "input": np.array(list(kinds), dtype=object),
        "step": first["table"]["step"],
        "layer": first["table"]["layer"],
        "column": np.array(names, dtype=object),
    }
    shape = (len(kinds), steps, layers, len(names))
    stacked = graph.array("table", shape, _stacked, rows)
    bin_edges = graph.array("bin_edges", (layers, bins + 1), np.asarray, edges)
    return Distributions(
        xr.DataArray(stacked, coords, ("input", "step", "layer", "column")),
        xr.DataArray(bin_edges, {"layer": coords["layer"]}, ("layer", "bin_edge")),
    )


def _edges(ends: Sequence[np.ndarray], bins: int) -> np.ndarray:
    """Return the edges of the histogram of each layer, over the range of the ends of all kinds, (layer, bin + 1)."""
    columns = {name: np.stack(ends)[:, 0, :, COLUMNS.index(name)] for name in ("min", "max", "count", "nonfinite")}
    low, high = np.fmin.reduce(columns["min"]), np.fmax.reduce(columns["max"])
    sorted_rows = ((columns["count"] + columns["nonfinite"]) <= EXACT).all(0)
    layers = zip(low, high, sorted_rows, strict=True)
    return np.stack([bar_edges(least, most, bins, sorted_rows=bool(is_sorted)) for least, most, is_sorted in layers])


def _stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(rows, axis=1)


def _described(
    earlier: list[np.ndarray], tables: Sequence[np.ndarray], values: Sequence[np.ndarray],
    previous: Sequence[np.ndarray | None], references: Sequence[np.ndarray], edges: np.ndarray, *, versus: int | None,
    quantiles: np.ndarray, columns: int,
) -> list[np.ndarray]:  # fmt: skip
    """Describe the values of all kinds and layers at a step, (input, layer, column), and append this to earlier ones.

    As each step waits for the one before, passes are made in the order of the steps, and values can be let go.
    """
    out = np.full((len(values), len(edges), columns + len(SHIFTS)), np.nan)
    for kind, rows in enumerate(values):
        before = previous[kind]
        for layer, row in enumerate(rows[0]):
            row_before = None if before is None else before[0, layer]
            of_layer = out[kind, layer]
            of_layer[:columns] = _spread(
                row, row_before, references[kind][0, layer], edges[layer], quantiles, columns
            )  # fmt: skip
            if versus is not None and versus != kind:
                apart = _spread(row, None, values[versus][0, layer], edges[layer], quantiles, columns)
                of_layer[columns:] = apart[len(quantiles) + edges.shape[1] - 1 :][: len(SHIFTS)]
    return [*earlier, np.concatenate([np.concatenate(tables), out], axis=2)]


def _counted(values: np.ndarray | Bins, edges: np.ndarray) -> tuple[Bins, np.ndarray]:
    """Return the bins of values, and their bars."""
    bars = np.zeros(len(edges) - 1)
    if isinstance(values, Bins):
        bars_of_bins(values, edges, bars)
        return values, bars
    add_to_bars(values, edges, bars)
    return bins_of(values), bars


def _spread(
    row: np.ndarray | Bins, previous: Any, reference: Any, edges: np.ndarray, quantiles: np.ndarray, columns: int
) -> np.ndarray:
    """Return the columns of `Distribution` but for `CHANCE` of one layer at one step, for which there is no room."""
    out = np.empty(columns)
    if isinstance(row, Bins) or isinstance(reference, Bins):
        previous = np.empty(0, np.float32) if previous is None else previous
        values, bars = zip(*(_counted(part, edges) for part in (row, previous, reference)), strict=True)
        describe_bins(*values, *bars, quantiles, bridges(), out)
    else:
        previous = row[:0] if previous is None else previous
        describe_sorted(row[None], previous, reference, quantiles, edges, bridges(), out[None])
    return out
