"""How far the values of layers moved: a task a step, that holds its values against those of other steps and inputs."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from dask.base import tokenize

from trajlab.replays.observers.distribution import COLUMNS
from trajlab.scan.graph import Graph
from trajlab.scan.kernels.binned_distances import describe_bins
from trajlab.scan.kernels.distribution import CHANCE, SHIFTS, Distribution
from trajlab.scan.kernels.histogram import EDGES, Bins, bins_of, histogram_cuts
from trajlab.scan.kernels.sorted_distances import describe_sorted


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
    sources = [found[part].data for found in kinds.values() for part in ("table", "values")]
    graph = Graph("spreads-" + tokenize([source.name for source in sources], reference, versus, spread))

    def values(kind: str, step: int) -> Any:
        return graph.chunk(kinds[kind]["values"].data, step)

    def table(kind: str, step: int) -> Any:
        return graph.chunk(kinds[kind]["table"].data, step)

    ends = [table(kind, step) for kind in kinds for step in dict.fromkeys((0, steps - 1))]
    cuts = graph.add(("cuts",), _cuts, ends, bins)
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
            cuts,
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
    edges = graph.array("edges", (layers, bins + 1), _edges, cuts)
    return Distributions(
        xr.DataArray(stacked, coords, ("input", "step", "layer", "column")),
        xr.DataArray(edges, {"layer": coords["layer"]}, ("layer", "bin_edge")),
    )


def _cuts(ends: Sequence[np.ndarray], bins: int) -> np.ndarray:
    """Return where the histogram of each layer is cut, over the range of the ends of all kinds, (layer, bin + 1)."""
    tables = np.stack(ends)
    low = np.fmin.reduce(tables[:, 0, :, COLUMNS.index("min")])
    high = np.fmax.reduce(tables[:, 0, :, COLUMNS.index("max")])
    return np.stack([histogram_cuts(*of_layer, bins) for of_layer in zip(low, high, strict=True)])


def _edges(cuts: np.ndarray) -> np.ndarray:
    return EDGES[cuts]


def _stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(rows, axis=1)


def _described(
    earlier: list[np.ndarray], tables: Sequence[np.ndarray], values: Sequence[np.ndarray],
    previous: Sequence[np.ndarray | None], references: Sequence[np.ndarray], cuts: np.ndarray, *, versus: int | None,
    quantiles: np.ndarray, columns: int,
) -> list[np.ndarray]:  # fmt: skip
    """Describe the values of all kinds and layers at a step, (input, layer, column), and append this to earlier ones.

    As each step waits for the one before, passes are made in the order of the steps, and values can be let go.
    """
    out = np.full((len(values), len(cuts), columns + len(SHIFTS)), np.nan)
    for kind, rows in enumerate(values):
        before = previous[kind]
        for layer, row in enumerate(rows[0]):
            then = None if before is None else before[0, layer]
            own = out[kind, layer]
            own[:columns] = _spread(row, then, references[kind][0, layer], cuts[layer], quantiles, columns)
            if versus is not None and versus != kind:
                apart = _spread(row, None, values[versus][0, layer], cuts[layer], quantiles, columns)
                own[columns:] = apart[len(quantiles) + cuts.shape[1] - 1 :][: len(SHIFTS)]
    return [*earlier, np.concatenate([np.concatenate(tables), out], axis=2)]


def _bins(values: np.ndarray | Bins) -> Bins:
    return values if isinstance(values, tuple) else bins_of(values)


def _spread(
    row: np.ndarray | Bins, previous: Any, reference: Any, cuts: np.ndarray, quantiles: np.ndarray, columns: int
) -> np.ndarray:
    """Return the columns of `Spread` but for `CHANCE` of one layer at one step."""
    out = np.empty(columns + len(CHANCE))
    if isinstance(row, tuple) or isinstance(reference, tuple):
        previous = np.empty(0, np.float32) if previous is None else previous
        describe_bins(_bins(row), _bins(previous), _bins(reference), quantiles, cuts, EDGES, out)
    else:
        previous = row[:0] if previous is None else previous
        describe_sorted(row[None], previous, reference, quantiles, cuts, EDGES, out[None])
    return out[:columns]
