"""Match the units of two runs, and compare their similarity with that by chance.

Units are rows of numbers, (unit, sample, position): incoming weights, or activations on a probe. The similarity of two
units is the cosine of their rows. Each unit is matched with one of the other run, so that the mean similarity is
largest (Li et al. 2015, arXiv:1511.07543, by the Hungarian algorithm), or greedily, the most similar pair first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.replays.observe import layers_in, observe, select
from trajlab.replays.observers.observer import Observable
from trajlab.replays.observers.sampled_outputs import SampledOutputs
from trajlab.scan.graph import delayed
from trajlab.stages.comparison.layer_pairs import paired_layers
from trajlab.statistics.correlation import cka, features_of
from trajlab.statistics.matching import best_match, shuffled_match
from trajlab.statistics.units import layers_of

MATCHES = ("best", "greedy", "null", "null_95", "units", "cka")
"""Mean similarity of matched pairs, of pairs matched greedily, and of pairs matched after shuffling: mean and 95 %
quantile over the shuffles; number of matched pairs; debiased CKA of the means over positions."""

MANY_UNITS, FEW_SHUFFLES = 256, 5
"""Units of a layer beyond which this smaller number of shuffles is enough: the mean similarity over many pairs hardly
varies, and the time of the Hungarian algorithm grows with the cube of the number of units."""

VALUES = 8192
"""Number of values of a unit that are compared, about; of more positions a random subset, the same for all samples."""


def matches(
    a: np.ndarray, b: np.ndarray, *, shuffles: int, absolute: bool = False, with_cka: bool = True
) -> np.ndarray:
    """Match the units of two runs, also after shuffling the samples of the second; return `MATCHES`.

    Units without a similarity, whose values are all equal or not all finite, are not matched.

    Parameters
    ----------
    a, b
        Rows of numbers, (unit, sample, position). Where they differ in their positions, their means are compared.
    shuffles
        Number of shuffles; of more than `MANY_UNITS` at most `FEW_SHUFFLES`.
    absolute
        Whether the similarity is the absolute cosine.
    with_cka
        Whether to compute the CKA, too; otherwise it is NaN.

    Examples
    --------
    >>> one = np.eye(3)[:, :, None]
    >>> matches(one, one[[2, 0, 1]], shuffles=0)[:2]
    array([1., 1.])
    """
    a, b = _comparable(a, b)
    features_cka = cka(*(features_of(_token_means(rows).T) for rows in (a, b))) if with_cka else np.nan
    (a, _), (b, _) = _directions(a), _directions(b)
    if not (len(a) and len(b)):
        return np.array([*[np.nan] * 4, 0.0, np.nan])
    size = np.abs if absolute else np.positive
    similarity = size(_cosines(a, b))
    pairs = best_match(similarity)
    few = min(shuffles, FEW_SHUFFLES) if max(similarity.shape) > MANY_UNITS else shuffles
    null = shuffled_match(lambda order: size(_cosines(a, b[:, order])), b.shape[1], shuffles=few)
    return np.array(
        [similarity[pairs].mean(), similarity[greedy(similarity)].mean(), *null, len(pairs[0]), features_cka]
    )


def unit_matrices(a: np.ndarray, b: np.ndarray, *, absolute: bool = False) -> np.ndarray:
    """Return the correlation and the covariance of units of two runs, and the units that each is matched with.

    Parameters
    ----------
    a, b
        Centered activations, (unit, sample, position).
    absolute
        Whether units are matched by their absolute correlation.

    Returns
    -------
    (4, unit, unit_other); of the last two matrices all columns are the matched unit, NaN for none: of the matching with
    the largest sum, and of the greedy one.
    """
    a, b = _comparable(a, b)
    result = np.full((4, len(a), len(b)), np.nan)
    with np.errstate(all="ignore"):
        result[1] = _cosines(a, b) / (a[0].size if len(a) else 1)
    (a, rows), (b, columns) = _directions(a), _directions(b)
    similarity = _cosines(a, b)
    result[0][np.ix_(rows, columns)] = np.clip(similarity, -1.0, 1.0)
    if similarity.size:
        size = abs(similarity) if absolute else similarity
        for matrix, (first, second) in zip(result[2:], (best_match(size), greedy(size)), strict=True):
            matrix[rows[first]] = columns[second][:, None]
    return result


def _comparable(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of as many numbers: where positions differ in number, the means over them."""
    if a.shape[2] == b.shape[2]:
        return a, b
    return a.mean(2, keepdims=True), b.mean(2, keepdims=True)


def greedy(similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Match rows with columns, the largest value first, and of equal ones that of the first row and column.

    A pair that is each other's best among the free ones is matched at any rate before either could be with another, so
    that all such pairs are matched at once.

    >>> greedy(np.array([[0.9, 0.8], [0.8, 0.0]]))
    (array([0, 1]), array([0, 1]))
    """
    free = [np.arange(n) for n in similarity.shape]
    match = np.full(len(similarity), -1)
    while similarity.size:
        best = similarity.argmax(1)
        mutual = np.flatnonzero(similarity.argmax(0)[best] == np.arange(len(best)))
        match[free[0][mutual]] = free[1][best[mutual]]
        free = [np.delete(left, gone) for left, gone in zip(free, (mutual, best[mutual]), strict=True)]
        similarity = np.delete(np.delete(similarity, mutual, 0), best[mutual], 1)
    rows = np.flatnonzero(match >= 0)
    return rows, match[rows]


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a.reshape(len(a), -1) @ b.reshape(len(b), -1).T


def _directions(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale rows to length 1, and drop those without a direction; return also the positions of those that stay."""
    with np.errstate(all="ignore"):
        scaled = rows / np.sqrt((rows.reshape(len(rows), -1) ** 2).sum(1))[:, None, None]
    is_direction = np.isfinite(scaled).all((1, 2))
    return scaled[is_direction], np.flatnonzero(is_direction)


def weight_table(
    ours: Mapping[str, xr.DataArray],
    theirs: Mapping[str, xr.DataArray],
    steps: Sequence[int],
    shuffles: int,
    max_units: int,
) -> xr.DataArray:
    """Match units by their incoming weights and bias, (parameter, step, `MATCHES`); lazily.

    Layers of more than `max_units` units are left out.
    """
    both = [weight_rows(run, steps, max_units) for run in (ours, theirs)]
    units = {name: [list(rows) for rows in zip(both[0][name], both[1][name], strict=True)] for name in both[0]}
    return _table(units, "parameter", steps, shuffles=shuffles, with_cka=False)


def weight_rows(run: Mapping[str, xr.DataArray], steps: Sequence[int], max_units: int) -> dict[str, list[Any]]:
    """Return the incoming weights and bias of the units of each layer, for each step the task that makes them."""
    rows = {}
    for layer in layers_of({}, run):
        if "index" not in run[layer.weight].coords and run[layer.weight].shape[1] <= max_units:
            names = [name for name in (layer.weight, layer.bias) if name in run]
            rows[layer.weight] = [_rows_at(run, names, step) for step in steps]
    return rows


def unit_rows(
    run: Mapping[str, xr.DataArray], steps: Sequence[int], layers: Sequence[str], max_units: int
) -> dict[str, list[Any]]:
    """Return the centered activations of the units of each layer of a run, for each step the task that makes them.

    Parameters
    ----------
    run
        Activations by layer.
    steps
        The steps.
    layers
        Names or patterns of layers; all by default.
    max_units
        Most units of a layer.
    """
    chosen = select(run, layers) if layers else run
    names = [layer.name for layer in layers_in(chosen)]
    observed = observe(chosen, SampledOutputs(VALUES)) if isinstance(chosen, Observable) else chosen
    arrays = {name: observed[name].transpose("step", "unit", "sample", ...) for name in names}
    return {
        name: [delayed(_features)(array.sel(step=step).data) for step in steps]
        for name, array in arrays.items()
        if array.sizes["unit"] <= max_units
    }


def unmatched_layers(ours: Mapping[str, xr.DataArray], max_units: int) -> list[str]:
    """Name the layers, by their weights, that have more than `max_units` units."""
    return [layer.weight for layer in layers_of({}, ours) if ours[layer.weight].shape[1] > max_units]


def feature_rows(
    ours: Mapping[str, xr.DataArray], theirs: Mapping[str, xr.DataArray], steps: Sequence[int], layers: Sequence[str]
) -> tuple[dict[str, list[list[Any]]], dict[str, tuple[int, int]]]:
    """Return the centered activations of units on the probe by pair of layers, for each step those of both runs.

    Replays keep only the values that are compared.

    Parameters
    ----------
    ours, theirs
        Activations of both runs by layer.
    steps
        Steps at which they are compared.
    layers
        Layers to compare, as `paired_layers` reads them.

    Returns
    -------
    The tasks that make them, (unit, sample, position) each, and the numbers of units of both runs.
    """
    names = paired_layers(ours, theirs, layers)
    both = []
    for side, run in enumerate((ours, theirs)):
        chosen = select(run, list(dict.fromkeys(pair[side] for pair in names.values())))
        both.append(observe(chosen, SampledOutputs(VALUES)) if isinstance(chosen, Observable) else chosen)
    units, sizes = {}, {}
    for label, pair in names.items():
        two = [run[name].transpose("step", "unit", "sample", ...) for run, name in zip(both, pair, strict=True)]
        units[label] = [[delayed(_features)(run.sel(step=step).data) for run in two] for step in steps]
        sizes[label] = two[0].sizes["unit"], two[1].sizes["unit"]
    return units, sizes


def feature_table(units: Mapping[str, Sequence[Sequence[Any]]], steps: Sequence[int], **how: Any) -> xr.DataArray:
    """Match the units of both runs by their activations, (layer, step, `MATCHES`); lazily."""
    return _table(units, "layer", steps, **how)


def matrix_table(rows: Sequence[Any], sizes: tuple[int, int], *, absolute: bool) -> xr.DataArray:
    """Return what `unit_matrices` does of the activations of two runs, (matrix, unit, unit_other); lazily."""
    task = delayed(unit_matrices)(*rows, absolute=absolute)
    return xr.DataArray(da.from_delayed(task, (4, *sizes), float), dims=("matrix", "unit", "unit_other"))


def _table(units: Mapping[str, Sequence[Sequence[Any]]], dim: str, steps: Sequence[int], **how: Any) -> xr.DataArray:
    """Match the rows of both runs for each layer and step, in one task."""
    labels = {dim: np.array(list(units), dtype=object), "step": steps, "column": np.array(MATCHES, dtype=object)}
    shape = len(units), len(steps), len(MATCHES)
    task = delayed(_each)(list(units.values()), shape, how)
    return xr.DataArray(da.from_delayed(task, shape, float), labels, (dim, "step", "column"), "matches")


def _each(units: Sequence[Sequence[Sequence[np.ndarray]]], shape: tuple[int, ...], how: dict[str, Any]) -> np.ndarray:
    return np.array([[matches(a, b, **how) for a, b in rows] for rows in units]).reshape(shape)


def _rows_at(run: Mapping[str, xr.DataArray], names: Sequence[str], step: int) -> Any:
    return delayed(_incoming)(*(run[name].sel(step=step).data for name in names))


def _incoming(weight: np.ndarray, *bias: np.ndarray) -> np.ndarray:
    parts = [np.asarray(part, np.float64).reshape(len(weight), -1) for part in (weight, *bias)]
    return np.hstack(parts)[:, :, None]


def _features(values: np.ndarray) -> np.ndarray:
    """Return the centered activations of units on the probe, (unit, sample, position); padding is −0.0.

    A position is padding if all its units are NaN, as `SampledOutputs` marks it. −0.0 marks it here: no centered value
    is −0.0, and sums and products are those of 0.
    """
    values = values.reshape(*values.shape[:2], -1)
    positions = max(1, VALUES // max(values.shape[1], 1))
    if values.shape[2] > positions:
        values = values[:, :, np.sort(np.random.default_rng(0).permutation(values.shape[2])[:positions])]
    values = values.astype(np.float64)
    is_token = ~np.isnan(values).all(0)
    with np.errstate(all="ignore"):
        if is_token.all() or not is_token.any():
            varies = np.ptp(values, axis=(1, 2), keepdims=True) > 0
            return np.where(varies, values - values.mean((1, 2), keepdims=True), 0.0)
        tokens = values[:, is_token]
        varies = np.ptp(tokens, axis=1, keepdims=True) > 0
        centered = np.full_like(values, -0.0)
        centered[:, is_token] = np.where(varies, tokens - tokens.mean(1, keepdims=True), 0.0)
        return centered


def _token_means(rows: np.ndarray) -> np.ndarray:
    """Return the means of features over the positions that hold tokens, (unit, sample)."""
    is_padding = ((rows == 0) & np.signbit(rows)).all(0)
    if not is_padding.any():
        return rows.mean(2)
    return rows.sum(2) / np.maximum((~is_padding).sum(1), 1)
