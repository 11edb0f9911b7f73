"""Series that are watched for changes: sizes of weights, updates and gradients, and metrics."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr

from trajlab.statistics.metrics import is_measured
from trajlab.statistics.unusual import NETWORK


class Series(NamedTuple):
    """A series over training.

    Attributes
    ----------
    place
        Parameter, metric, or `NETWORK`.
    quantity
        What is measured: weight norm, update, gradient norm, or metric.
    steps
        Steps at which it was recorded, (step).
    values
        Its values, (step); Inf where entries are NaN or Inf.
    """

    place: str
    quantity: str
    steps: np.ndarray
    values: np.ndarray


def all_series(tables: Mapping[str, xr.DataArray]) -> Iterator[Series]:
    """Yield every series of the tables: those of each parameter in network order, those of the network, the metrics.

    Parameters
    ----------
    tables
        Moments of `weight` and `gradient`, sizes of the `update` between snapshots, and the columns of `metrics` with
        the steps at which they were `measured`.
    """
    for kind, quantity in (("weight", "weight norm"), ("gradient", "gradient norm")):
        if kind in tables:
            yield from _norms(tables[kind], quantity)
    if "update" in tables:
        yield from _updates(tables["update"])
    if "metrics" in tables:
        yield from _metrics(tables["metrics"], tables["measured"])


def _metrics(table: xr.DataArray, measured: xr.DataArray) -> Iterator[Series]:
    steps = table["step"].values
    columns = zip(map(str, table["column"].values), table.values.T, measured.values.T, strict=True)
    for name, values, marks in sorted(columns, key=lambda column: column[0]):  # a store keeps no order of metrics
        is_bad = ~np.isfinite(values) & is_measured(values, steps, marks)
        yield Series(name, "metric", steps, np.where(is_bad, np.inf, values))


def _norms(table: xr.DataArray, quantity: str) -> Iterator[Series]:
    """Yield the norm of each parameter, samples scaled to the whole tensor, and of all of them."""
    count, mean, m2, nonfinite = (table.sel(column=name).values for name in ("count", "mean", "m2", "nonfinite"))
    steps, scale = table["step"].values, (table["numel"] / table["sampled"]).values
    squares = (m2 + count * mean**2) * scale[:, None]
    norms = np.where(nonfinite > 0, np.inf, np.sqrt(squares))
    for name, norm, recorded in zip(table["parameter"].values, norms, ~np.isnan(count), strict=True):
        yield Series(str(name), quantity, steps[recorded], norm[recorded])
    if len(norms) > 1:
        yield Series(NETWORK, quantity, steps, np.sqrt(np.nansum(norms**2, 0)))


def _updates(table: xr.DataArray) -> Iterator[Series]:
    """Yield the mean |update| of each parameter for each optimizer step between snapshots."""
    steps = table["step"].values
    valid, change = (table.sel(column=name).values for name in ("valid", "change"))
    for i, name in enumerate(table["parameter"].values):
        recorded = np.flatnonzero(~np.isnan(valid[i]))
        strides = np.diff(steps, prepend=steps[:1] - 1)[recorded]
        yield Series(str(name), "update", steps[recorded], change[i, recorded] / valid[i, recorded] / strides)
