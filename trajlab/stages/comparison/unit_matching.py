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

from trajlab.replays.observe import observe
from trajlab.replays.observers.observer import Observable
from trajlab.replays.observers.sampled_outputs import SampledOutputs
from trajlab.scan.graph import delayed
from trajlab.statistics.matching import best_match, shuffled_match
from trajlab.statistics.units import layers_of

MATCHES = ("best", "greedy", "null", "null_95", "units")
"""Mean similarity of matched pairs, of pairs matched greedily, and of pairs matched after shuffling: mean and 95 %
quantile over the shuffles; number of matched pairs."""

VALUES = 8192
"""Number of values of a unit that are compared, about; of more positions a random subset, the same for all samples."""


def matches(a: np.ndarray, b: np.ndarray, *, shuffles: int) -> np.ndarray:
    """Match the units of two runs, also after shuffling the samples of the second; return `MATCHES`.

    Units without a similarity, whose values are all equal or not all finite, are not matched.

    Parameters
    ----------
    a, b
        Rows of numbers, (unit, sample, position).
    shuffles
        Number of shuffles.

    Examples
    --------
    >>> one = np.eye(3)[:, :, None]
    >>> matches(one, one[[2, 0, 1]], shuffles=0)[:2]
    array([1., 1.])
    """
    a, b = _directions(a), _directions(b)
    if not (len(a) and len(b)):
        return np.array([*[np.nan] * 4, 0.0])
    similarity = _cosines(a, b)
    pairs = best_match(similarity)
    null = shuffled_match(lambda order: _cosines(a, b[:, order]), b.shape[1], shuffles=shuffles)
    return np.array([similarity[pairs].mean(), similarity[greedy(similarity)].mean(), *null, len(pairs[0])])


def greedy(similarity: np.ndarray) -> tuple[list[int], list[int]]:
    """Match rows with columns, the largest value first.

    >>> greedy(np.array([[0.9, 0.8], [0.8, 0.0]]))
    ([0, 1], [0, 1])
    """
    rows, columns = [], []
    free_rows, free_columns = (np.ones(n, bool) for n in similarity.shape)
    for flat in np.argsort(-similarity, axis=None, kind="stable"):
        row, column = divmod(int(flat), similarity.shape[1])
        if free_rows[row] and free_columns[column]:
            free_rows[row] = free_columns[column] = False
            rows.append(row)
            columns.append(column)
    return rows, columns


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a.reshape(len(a), -1) @ b.reshape(len(b), -1).T


def _directions(rows: np.ndarray) -> np.ndarray:
    """Scale rows to length 1, and drop those without a direction."""
    with np.errstate(all="ignore"):
        scaled = rows / np.sqrt((rows.reshape(len(rows), -1) ** 2).sum(1))[:, None, None]
    return scaled[np.isfinite(scaled).all((1, 2))]


def weight_table(
    ours: Mapping[str, xr.DataArray], theirs: Mapping[str, xr.DataArray], steps: Sequence[int], shuffles: int
) -> xr.DataArray:
    """Match units by their incoming weights and bias, (parameter, step, `MATCHES`); lazily."""
    units = {}
    for layer in layers_of({}, ours):
        if "index" not in ours[layer.weight].coords:
            names = [name for name in (layer.weight, layer.bias) if name in ours]
            units[layer.weight] = [[_rows_at(run, names, step) for run in (ours, theirs)] for step in steps]
    return _table(units, "parameter", steps, shuffles)


def feature_table(
    ours: Mapping[str, xr.DataArray], theirs: Mapping[str, xr.DataArray], steps: Sequence[int], shuffles: int
) -> xr.DataArray:
    """Match units by their centered activations on the probe, (layer, step, `MATCHES`); lazily.

    Replays keep only the values that are compared.
    """
    ours, theirs = (
        observe(run, SampledOutputs(VALUES)) if isinstance(run, Observable) else run for run in (ours, theirs)
    )
    units = {}
    for name in [name for name in ours if name in theirs]:
        two = [run[name].transpose("step", "unit", "sample", ...) for run in (ours, theirs)]
        units[name] = [[delayed(_features)(run.sel(step=step).data) for run in two] for step in steps]
    return _table(units, "layer", steps, shuffles)


def _table(units: Mapping[str, Sequence[Sequence[Any]]], dim: str, steps: Sequence[int], shuffles: int) -> xr.DataArray:
    """Match the rows of both runs for each layer and step, in one task."""
    labels = {dim: np.array(list(units), dtype=object), "step": steps, "column": np.array(MATCHES, dtype=object)}
    shape = len(units), len(steps), len(MATCHES)
    task = delayed(_each)(list(units.values()), shape, shuffles)
    return xr.DataArray(da.from_delayed(task, shape, float), labels, (dim, "step", "column"), "matches")


def _each(units: Sequence[Sequence[Sequence[np.ndarray]]], shape: tuple[int, ...], shuffles: int) -> np.ndarray:
    return np.array([[matches(a, b, shuffles=shuffles) for a, b in rows] for rows in units]).reshape(shape)


def _rows_at(run: Mapping[str, xr.DataArray], names: Sequence[str], step: int) -> Any:
    return delayed(_incoming)(*(run[name].sel(step=step).data for name in names))


def _incoming(weight: np.ndarray, *bias: np.ndarray) -> np.ndarray:
    parts = [np.asarray(part, np.float64).reshape(len(weight), -1) for part in (weight, *bias)]
    return np.hstack(parts)[:, :, None]


def _features(values: np.ndarray) -> np.ndarray:
    """Return the centered activations of units on the probe, (unit, sample, position)."""
    values = values.reshape(*values.shape[:2], -1)
    positions = max(1, VALUES // max(values.shape[1], 1))
    if values.shape[2] > positions:
        values = values[:, :, np.sort(np.random.default_rng(0).permutation(values.shape[2])[:positions])]
    values = values.astype(np.float64)
    with np.errstate(all="ignore"):
        varies = np.ptp(values, axis=(1, 2), keepdims=True) > 0
        return np.where(varies, values - values.mean((1, 2), keepdims=True), 0.0)
