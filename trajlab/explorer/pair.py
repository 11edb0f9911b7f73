"""Two snapshots, of one run or of two, compared layer by layer."""

from collections.abc import Callable
from typing import NamedTuple

import dask
import numpy as np
import pandas as pd
import xarray as xr

from trajlab import sizes
from trajlab.running.compute import computing
from trajlab.runs.disk.rows import Rows
from trajlab.runs.trajectory import Trajectory
from trajlab.scan.select_steps import select_steps
from trajlab.stages import stage

COLUMNS = {
    "relative": ("drift", "relative change"),
    "cosine": ("drift", "cosine"),
    "sign_changed": ("drift", "entries with another sign"),
    "ks": ("distribution", "Kolmogorov–Smirnov"),
    "wasserstein": ("distribution", "Wasserstein"),
}
"""Columns of the table: variable, and its stage and title."""


class Pair(NamedTuple):
    """Two snapshots compared.

    Attributes
    ----------
    table
        A row for each parameter, the most changed first; columns as in `COLUMNS`.
    distribution
        Histograms of both snapshots: step 0 is the first, step 1 the second.
    skipped
        Parameters that cannot be compared, with the reason.
    """

    table: pd.DataFrame
    distribution: xr.Dataset
    skipped: list[str]


def compare(before: Trajectory, a: int, after: Trajectory, b: int) -> Pair:
    """Compare the weights of a run at step `a` with those of a run at step `b`.

    Examples
    --------
    >>> import trajlab
    >>> run = trajlab.example()
    >>> compare(run, 0, run, 20).table.index[-1]
    'frozen.weight'
    """
    stacked, skipped = {}, []
    for name in after.weights:
        reason = _obstacle(before, a, after, b, name)
        if reason:
            skipped.append(f"{name}: {reason}")
        else:
            stacked[name] = _stacked(before, a, after, b, name)
    skipped += [f"{name}: the second run lacks it" for name in before.weights if name not in after.weights]
    if not stacked:
        empty = pd.DataFrame(columns=list(COLUMNS), dtype=float)
        return Pair(empty, xr.Dataset(), skipped)
    with computing("two moments"):
        drift, distribution = dask.compute(*(stage(name)(stacked) for name in ("drift", "distribution")))
    results = {"drift": drift, "distribution": distribution}
    table = pd.DataFrame(
        {name: results[of][name].isel(step=1).values for name, (of, _) in COLUMNS.items()},
        pd.Index([str(name) for name in drift["parameter"].values], name="parameter"),
    )
    return Pair(table.sort_values("relative", ascending=False, na_position="last"), distribution, skipped)


def changed_rows(before: Trajectory, a: int, after: Trajectory, b: int, name: str) -> pd.DataFrame:
    """Return the norm of the change of each row of a parameter, of each entry of a vector; the largest first.

    Rows are the output units of a layer, and the tokens of an embedding. The table is empty if the parameter cannot be
    compared.
    """
    if _obstacle(before, a, after, b, name) or not after.weights.series[name].shape:
        return pd.DataFrame({"change": [], "relative": []})
    count, *entries = after.weights[name].shape[1:]
    width = int(np.prod(entries, dtype=np.int64))
    old, new = _reader(before, a, name), _reader(after, b, name)
    length = max(1, sizes.MATRIX_PART_BYTES // (8 * max(width, 1)))
    change, size = np.empty((2, count))
    for lo in range(0, count, length):
        rows = slice(lo, min(lo + length, count))
        start, end = (read(rows.start * width, rows.stop * width).reshape(-1, width) for read in (old, new))
        start = start.astype(np.float64)
        size[rows] = np.linalg.norm(start, axis=1)
        change[rows] = np.linalg.norm(end - start, axis=1)
    relative = np.divide(change, size, out=np.full(change.shape, np.nan), where=size > 0)
    table = pd.DataFrame({"change": change, "relative": relative}, pd.RangeIndex(count, name="row"))
    return table.sort_values("change", ascending=False, na_position="last", kind="stable")


def _obstacle(before: Trajectory, a: int, after: Trajectory, b: int, name: str) -> str:
    """Write why a parameter cannot be compared; empty if it can."""
    if name not in before.weights:
        return "the first run lacks it"
    for run, step in ((before, a), (after, b)):
        if step not in run.weights.series[name].steps:
            return f"it was not recorded at step {step}"
    shapes = [run.weights.series[name].shape for run in (before, after)]
    return f"its shapes differ, {shapes[0]} and {shapes[1]}" if shapes[0] != shapes[1] else ""


def _reader(run: Trajectory, step: int, name: str) -> Callable[[int, int], np.ndarray]:
    """Return what reads a span of the entries of a parameter at a step."""
    series = run.weights.series[name]
    if isinstance(series.values, Rows):
        row = series.values[[int(np.searchsorted(series.steps, step))]]
        return lambda lo, hi: row.entries(lo, hi).load()[0]
    flat = run.weights[name].sel(step=step).values.reshape(-1)
    return lambda lo, hi: flat[lo:hi]


def _parts(before: Trajectory, a: int, after: Trajectory, b: int, name: str) -> list[xr.DataArray]:
    return [run.weights[name].sel(step=step, drop=True) for run, step in ((before, a), (after, b))]


def _stacked(before: Trajectory, a: int, after: Trajectory, b: int, name: str) -> xr.DataArray:
    """Return a parameter at both moments as steps 0 and 1; of one run as rows on disk, which are read in tiles."""
    if before is after:
        stacked = select_steps(after.weights[name], np.searchsorted(after.weights.series[name].steps, [a, b]))
    else:
        stacked = xr.concat(_parts(before, a, after, b, name), "step", combine_attrs="override")
    return stacked.assign_coords(step=[0, 1])
