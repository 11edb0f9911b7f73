"""Compute principal components over the steps and distances between steps from the Gram matrix of the steps.

A scan goes through a tensor by blocks of steps; the products of all pairs of steps need all steps at once, so here a
task takes a span of entries at all steps. Nothing is computed: one graph is laid out, in which each byte is read once
and no task holds more than a piece of its span, a tile of it in float64, and some squares of steps by steps.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from dask.base import tokenize

from trajlab import sizes
from trajlab.runs.disk.rows import Rows
from trajlab.runs.tensors import common_steps
from trajlab.scan.graph import Graph
from trajlab.scan.kernels.gram import (
    Components,
    centered,
    deviations_of,
    distances,
    distances_of_deviations,
    gram,
    principal,
    principal_of_deviations,
    tile_entries,
    updates_of_deviations,
    updates_of_gram,
)
from trajlab.scan.scan import Tensor, about, by_name, identity
from trajlab.scan.source import Source, is_sample
from trajlab.scan.step_errors import distance_error, distance_variance, share_errors, share_variance
from trajlab.scan.track import computable


class Products(NamedTuple):
    """Inner products of deviations from the mean over the steps, or where these are fewer numbers the deviations.

    Attributes
    ----------
    gram
        Products, (step, step); None if there are deviations.
    deviations
        (step, entry), of fewer entries than steps.
    nonfinite
        Entries that are not finite at each step, and at any, (step + 1).
    entries
        How many there were.
    """

    gram: np.ndarray | None
    deviations: np.ndarray | None
    nonfinite: np.ndarray
    entries: int

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.nonfinite) - 1

    def products(self) -> np.ndarray:
        """Return the products, (step, step)."""
        if self.gram is not None:
            return self.gram
        assert self.deviations is not None
        return self.deviations @ self.deviations.T

    def at(self, steps: np.ndarray) -> "Products":
        """Return those at some steps, by position."""
        counts = self.nonfinite[np.append(steps, -1)]
        if len(steps) == self.steps:
            return self._replace(nonfinite=counts)
        gram = None if self.gram is None else self.gram[np.ix_(steps, steps)]
        rows = None if self.deviations is None else self.deviations[steps]
        return Products(gram, rows, counts, self.entries)

    def scaled(self, scale: float) -> "Products":
        """Return those of a sample of entries that counts for `scale` times as many."""
        if scale == 1.0:
            return self
        gram = None if self.gram is None else scale * self.gram
        rows = None if self.deviations is None else np.sqrt(scale) * self.deviations
        return self._replace(gram=gram, deviations=rows)


def principal_components(tensor: Tensor, components: int, center: str, anchors: Sequence[int] = ()) -> xr.Dataset:
    """Compute principal components of tensors over the steps, and distances from some steps; lazily.

    A sample of the entries counts for the whole tensor.

    Parameters
    ----------
    tensor
        One tensor over training, dims (step, ...), or a mapping of several.
    components
        Number of directions.
    center
        What deviations are taken from: the "mean" over the steps, or the "last" step.
    anchors
        Steps that distances are taken from.

    Returns
    -------
    explained_variance_ratio : (parameter, component)
        Share of each direction in the sum of squared deviations.
    scores : (parameter, step, component)
        Deviations along the directions.
    distance : (parameter, step, anchor)
        Distance of each step from each anchor.
    explained_variance_ratio_se, distance_se : as the estimate
        Standard errors, where only a sample of some tensor was recorded.
    direction_consistency : (parameter, step)
        Cosine of each update between recorded steps with the one before.
    direction_consistency_null : (parameter)
        Its standard deviation for updates in random directions.
    nonfinite, left_out : (parameter, step), (parameter)
        Recorded entries that are not finite at a step, and at any step.
    total_explained_variance_ratio, total_scores, total_distance, … : (component), (step, component), (step, anchor), …
        The same of all tensors together, at the steps that they have in common; for many tensors only.
    """
    tensors = by_name(tensor)
    recorded = [array["step"].values for array in tensors.values()]
    steps = np.unique(np.concatenate(recorded or [np.empty(0, np.int64)]))
    common = common_steps(recorded)
    any_sampled = any(map(is_sample, tensors.values()))
    name = "gram-" + tokenize(components, center, anchors, [(key, identity(array)) for key, array in tensors.items()])
    graph = Graph(name)
    parts: list[Any] = []
    total: Any = None
    samples: list[Any] = []
    variances: list[Any] = []
    total_variance: Any = None
    sizes_of: list[int] = []
    squares: list[Any] = []
    recorded_entries: list[int] = []
    shared_positions: list[np.ndarray] = []
    for key, array in tensors.items():
        rows = Source(array, graph)
        products = _products(graph, key, rows)
        near = _positions(array["step"].values, anchors)
        entries = int(np.prod(array.attrs.get("shape", array.shape[1:])))
        sizes_of.append(entries)
        scale = entries / max(rows.size, 1)
        parts.append(graph.add(("principal", key), _principal, products, components, center, near, scale))
        at = np.searchsorted(array["step"].values, common)
        shared_positions.append(at)
        total = graph.add(("total", key), _add, total, products, at, scale)
        squares.append(graph.add(("squares", key), _update_squares, products, at, scale))
        recorded_entries.append(rows.size)
        if any_sampled:
            sample = rows.rows(0, rows.steps) if entries != rows.size else None
            samples.append(sample)
            variances.append(graph.add(("variance", key), distance_variance, sample, rows.steps, near, entries))
            total_variance = graph.add(("total_variance", key), _plus, total_variance, variances[-1], at)
    positions = [np.searchsorted(steps, of_tensor) for of_tensor in recorded]
    count, length, wide = len(tensors), len(steps), len(anchors)
    at_steps = (parts, positions, length)
    arrays: dict[str, tuple[tuple[str, ...], tuple[int, ...], Callable, tuple]] = {
        "explained_variance_ratio": (("parameter", "component"), (count, components), _shares, (parts,)),
        "scores": (
            ("parameter", "step", "component"),
            (count, length, components),
            _scores,
            (parts, positions, length),
        ),
        "distance": (("parameter", "step", "anchor"), (count, length, wide), _distances, at_steps),
        "nonfinite": (("parameter", "step"), (count, length), _nonfinite, at_steps),
        "left_out": (("parameter",), (count,), _left_out, (parts,)),
        "direction_consistency": (("parameter", "step"), (count, length), _consistency, at_steps),
        "direction_consistency_null": (("parameter",), (count,), _consistency_null, (parts, recorded_entries)),
    }
    if not isinstance(tensor, xr.DataArray):
        whole = [graph.add(("whole",), _principal, total, components, center, _positions(common, anchors))]
        shared = [np.searchsorted(steps, common)]
        for key, arguments in (
            ("explained_variance_ratio", (whole,)),
            ("scores", (whole, shared, length)),
            ("distance", (whole, shared, length)),
            ("direction_consistency", (whole, shared, length)),
        ):
            dims, shape, function, _ = arrays[key]
            arrays[f"total_{key}"] = (dims, (1, *shape[1:]), function, arguments)
        null = (squares, shared[0], length)
        arrays["total_direction_consistency_null"] = ("parameter", "step"), (1, length), _total_consistency_null, null
    if any_sampled:
        (dims, shape), (share_dims, share_shape) = (arrays[key][:2] for key in ("distance", "explained_variance_ratio"))
        arrays["distance_se"] = dims, shape, _distance_errors, (parts, variances, positions, length)
        shares = [
            graph.add(("share_variance", key), share_variance, part, sample, center, np.arange(len(of_tensor)), entries)
            for key, part, sample, of_tensor, entries in zip(tensors, parts, samples, recorded, sizes_of, strict=True)
        ]
        of_each = ([[variance] for variance in shares],)
        arrays["explained_variance_ratio_se"] = share_dims, share_shape, share_errors, of_each
        if not isinstance(tensor, xr.DataArray):
            of_all = (whole, [total_variance], shared, length)
            arrays["total_distance_se"] = dims, (1, *shape[1:]), _distance_errors, of_all
            of_whole = [
                graph.add(("totalshare_variance", key), share_variance, *whole, sample, center, at, entries)
                for key, sample, at, entries in zip(tensors, samples, shared_positions, sizes_of, strict=True)
            ]
            one = (1, *share_shape[1:])
            arrays["total_explained_variance_ratio_se"] = share_dims, one, share_errors, ([of_whole],)
    variables = {
        key: xr.Variable(dims, graph.array(key, shape, function, *arguments))
        for key, (dims, shape, function, arguments) in arrays.items()
    }
    variables |= {key: variable.isel(parameter=0) for key, variable in variables.items() if key.startswith("total_")}
    labels = {
        "parameter": np.array(list(tensors), dtype=object),
        "step": steps,
        "component": ("component", np.arange(1, components + 1), {"long_name": "component", "units": "1"}),
        "anchor": ("anchor", np.array(anchors, np.int64), {"long_name": "step of the anchor", "units": "1"}),
    } | {key: ("parameter", values) for key, values in about(tensors).items()}
    result = xr.Dataset(variables, labels)
    return result.isel(parameter=0).drop_vars("parameter") if isinstance(tensor, xr.DataArray) else result


def _products(graph: Graph, key: str, rows: Source) -> Any:
    """Add the tasks of one tensor, one for each span of entries, and return their sum as an argument."""
    if rows.size < rows.steps:
        return (
            graph.add(("deviations", key), _deviations, rows.entries(0, rows.size))
            if rows.size
            else graph.add(("none", key), _nothing, rows.steps)
        )
    fitting = sizes.SPAN_BYTES // (4 * max(rows.steps, 1))
    wide = max(sizes.GRAM_TILE_MIN, fitting, 2 * rows.steps)  # no smaller than its products
    total = graph.add(("none", key), _nothing, rows.steps)
    for number, lo in enumerate(range(0, rows.size if rows.steps else 0, wide)):
        span = graph.add(("span", key, number), _span, rows.entries(lo, min(lo + wide, rows.size)))
        total = graph.add(("sum", key, number), _join, total, span)
    return total


def _nothing(steps: int) -> Products:
    return Products(None, np.zeros((steps, 0)), np.zeros(steps + 1), 0)


def _span(rows: Rows | np.ndarray) -> Products:
    products, nonfinite = gram(_pieces(rows), len(rows))
    return Products(products, None, nonfinite, _entries(rows))


def _deviations(rows: Rows | np.ndarray) -> Products:
    return Products(None, *deviations_of(_pieces(rows), len(rows)), _entries(rows))


def _entries(rows: Rows | np.ndarray) -> int:
    return rows.size if isinstance(rows, Rows) else rows.shape[1]


def _pieces(rows: Rows | np.ndarray) -> Iterator[Sequence[np.ndarray]]:
    """Read the entries of all steps by whole tiles, or fetch them all at once; an array is taken as it is."""
    if not isinstance(rows, Rows):
        yield [computable(row) for row in rows]
        return
    tile = tile_entries(len(rows))
    wide = rows.size if rows.remote else tile * max(1, sizes.SPAN_PIECE_BYTES // (4 * tile * len(rows)))
    for lo in range(0, rows.size, wide):
        yield [computable(row) for row in rows.entries(lo, min(lo + wide, rows.size)).read()]


def _join(earlier: Products, later: Products) -> Products:
    return later if earlier.entries == 0 else _sum(earlier, later)


def _add(total: Products | None, products: Products, at: np.ndarray, scale: float) -> Products:
    """Add the products of a tensor at the steps that all have; a sample of entries counts for all."""
    some = products.at(at).scaled(scale)
    return some if total is None else _sum(total, some)


def _sum(first: Products, second: Products) -> Products:
    """Add the products of two tensors, or join their deviations as long as these are fewer numbers."""
    nonfinite, entries = first.nonfinite + second.nonfinite, first.entries + second.entries
    rows = first.deviations, second.deviations
    if rows[0] is not None and rows[1] is not None and rows[0].shape[1] + rows[1].shape[1] < first.steps:
        return Products(None, np.hstack([rows[0], rows[1]]), nonfinite, entries)
    return Products(first.products() + second.products(), None, nonfinite, entries)


def _positions(steps: np.ndarray, anchors: Sequence[int]) -> np.ndarray:
    """Return the position of each anchor among the steps; -1 where it was not recorded."""
    order = {step: position for position, step in enumerate(steps.tolist())}
    return np.array([order.get(anchor, -1) for anchor in anchors], np.int64)


def _principal(products: Products, components: int, center: str, anchors: np.ndarray, scale: float = 1.0) -> Components:
    """Return the components of one tensor, or of all; a sample of entries counts for `scale` times as many."""
    products = products.scaled(scale)
    steps, rows = products.steps, products.deviations
    unknown = steps == 0 or products.nonfinite[-1] == products.entries
    if unknown:
        apart, updates = np.full((steps, len(anchors)), np.nan), np.full((steps, 2), np.nan)
    elif rows is None:
        apart, updates = distances(products.products(), anchors), updates_of_gram(products.products())
    else:
        apart, updates = distances_of_deviations(rows, anchors), updates_of_deviations(rows)
    shares, scores = np.full(components, np.nan), np.full((steps, components), np.nan)
    if steps > 1 and not unknown:
        with np.errstate(over="ignore", invalid="ignore"):
            if rows is None:
                shares, scores = principal(centered(products.products(), center), components)
            else:
                origin = rows[-1] if center == "last" else rows.mean(0)
                shares, scores = principal_of_deviations(rows - origin, components)
    return Components(shares, scores, apart, products.nonfinite, updates)


def _update_squares(products: Products, at: np.ndarray, scale: float) -> np.ndarray:
    """Return |u_t|² of the updates of a tensor between some steps, and how many entries count, (step + 1)."""
    some = products.at(at).scaled(scale)
    rows = some.deviations
    updates = updates_of_gram(some.products()) if rows is None else updates_of_deviations(rows)
    return np.append(updates[:, 0], products.entries - products.nonfinite[-1])


def _plus(total: np.ndarray | None, variance: np.ndarray, at: np.ndarray) -> np.ndarray:
    return variance[at] if total is None else total + variance[at]


def _distance_errors(
    parts: list[Components], variances: list[np.ndarray], positions: list[np.ndarray], steps: int
) -> np.ndarray:
    errors = [distance_error(part, variance) for part, variance in zip(parts, variances, strict=True)]
    return _at_steps(errors, positions, steps)


def _shares(parts: list[Components]) -> np.ndarray:
    return np.stack([part.shares for part in parts])


def _scores(parts: list[Components], positions: list[np.ndarray], steps: int) -> np.ndarray:
    return _at_steps([part.scores for part in parts], positions, steps)


def _distances(parts: list[Components], positions: list[np.ndarray], steps: int) -> np.ndarray:
    return _at_steps([part.distance for part in parts], positions, steps)


def _nonfinite(parts: list[Components], positions: list[np.ndarray], steps: int) -> np.ndarray:
    return _at_steps([part.nonfinite[:-1] for part in parts], positions, steps)


def _at_steps(values: list[np.ndarray], positions: list[np.ndarray], steps: int) -> np.ndarray:
    """Put the values of each tensor at its own steps among all, (parameter, step, …)."""
    out = np.full((len(values), steps, *values[0].shape[1:]), np.nan)
    for row, (of_tensor, at) in enumerate(zip(values, positions, strict=True)):
        out[row, at] = of_tensor
    return out


def _consistency(parts: list[Components], positions: list[np.ndarray], steps: int) -> np.ndarray:
    """Return the cosine of each update with the one before, (parameter, step)."""
    cosines = []
    for part in parts:
        lengths = np.sqrt(part.updates[:, 0])
        both = lengths * np.append(np.nan, lengths[:-1])
        cosines.append(np.clip(part.updates[:, 1] / np.where(both > 0.0, both, np.nan), -1.0, 1.0))
    return _at_steps(cosines, positions, steps)


def _consistency_null(parts: list[Components], entries: list[int]) -> np.ndarray:
    """Return 1/√n of the entries that count of each tensor, (parameter)."""
    counts = np.array([n - part.nonfinite[-1] for n, part in zip(entries, parts, strict=True)], np.float64)
    with np.errstate(divide="ignore"):
        return np.where(counts > 0, counts**-0.5, np.nan)


def _total_consistency_null(squares: list[np.ndarray], at: np.ndarray, steps: int) -> np.ndarray:
    """Return the standard deviation of the cosine of updates that are random within each tensor, (1, step)."""
    table = np.array(squares)
    now, counts = table[:, :-1], table[:, -1:]
    before = np.hstack([np.full((len(now), 1), np.nan), now[:, :-1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.where(counts > 0, now * before / counts, 0.0).sum(0)
        null = np.sqrt(variance / (np.where(counts > 0, now, 0.0).sum(0) * np.where(counts > 0, before, 0.0).sum(0)))
    return _at_steps([null], [at], steps)


def _left_out(parts: list[Components]) -> np.ndarray:
    return np.array([part.nonfinite[-1] for part in parts])
