"""What rules are judged on: a few numbers for each step of each tensor, layer and metric."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr

from trajlab.scan.kernels.activity import ACTIVITY
from trajlab.statistics.metrics import LOSSES, VALIDATION_LOSSES, metric_name

Tables = dict[tuple[str, str], xr.DataArray]
"""What was computed, by kind and name."""


NETWORK = "network"


class Evidence(NamedTuple):
    """What is known of one place.

    Parameters
    ----------
    place
        Name of the parameter, with .grad for its gradient; of the layer; of the metric; or `NETWORK`.
    kind
        weight, gradient, layer or metric.
    known
        Columns by name, (step, …), and `steps`.
    """

    place: str
    kind: str
    known: dict[str, np.ndarray]


def gather(tables: Tables, *, early: int, loss: str, validation_loss: str) -> Iterator[Evidence]:
    """Give all evidence that the tables hold.

    Parameters
    ----------
    tables
        Moments, updates and ranks of weights, moments and early quantiles of gradients, activity of layers, metrics.
    early
        Optimizer steps in which an initialization shows.
    loss, validation_loss
        Names of the metrics.
    """
    yield from _weights(tables, early)
    yield from _gradients(tables)
    yield from _layers(tables, early)
    yield from _metrics(tables, early, loss, validation_loss)


def first_few(steps: np.ndarray, early: int) -> int:
    """Give how many of the steps are among so many optimizer steps from the first one on.

    >>> first_few(np.array([20, 25, 30, 35]), 10)
    2
    """
    return int((steps < steps[:1].sum() + early).sum())


def _rows(table: xr.DataArray) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Give the columns of each parameter at the steps at which it was recorded."""
    names = [str(name) for name in table["column"].values]
    for i, parameter in enumerate(table["parameter"].values):
        values = table.values[i]
        recorded = ~np.isnan(values[:, 0])
        yield (
            str(parameter),
            {"steps": table["step"].values[recorded]} | dict(zip(names, values[recorded].T, strict=True)),
        )


def _moments(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    count = columns["count"]
    return {
        "steps": columns["steps"],
        "nonfinite": columns["nonfinite"],
        "entries": count + columns["nonfinite"],
    }


def _weights(tables: Tables, early: int) -> Iterator[Evidence]:
    if ("weight", "moments") not in tables:
        return
    table, updates = tables["weight", "moments"], tables["weight", "updates"]
    variances = []
    for i, (name, columns) in enumerate(_rows(table)):
        known = _moments(columns)
        at = np.isin(table["step"].values, columns["steps"])
        valid, change, size, apart = updates.values[i, at].T
        known["apart"] = apart
        if ("weight", f"rank of {name}") in tables:
            known |= {
                "zeros": columns["zeros"],
                "variance": columns["m2"] / columns["count"],
                "change": change / valid,
                "size": size / valid,
                "rank": tables["weight", f"rank of {name}"].reindex(step=columns["steps"]).values,
            }
            gain = table["fan_in"].values[i] * known["variance"]
            variances.append(xr.DataArray(gain, {"step": columns["steps"]}, ("step",)))
        yield Evidence(name, "weight", known)
    if not any(kind == "layer" for kind, _ in tables):
        yield from _variances(variances, "weight", early)


def _variances(variances: list[xr.DataArray], kind: str, early: int) -> Iterator[Evidence]:
    if len(variances) > 1:
        joined = xr.concat(variances, "layer", join="outer", coords="minimal", compat="override")
        joined = joined.transpose("layer", "step").isel(step=slice(first_few(joined["step"].values, early)))
        yield Evidence(NETWORK, kind, {"steps": joined["step"].values, "variances": joined.values})


def _gradients(tables: Tables) -> Iterator[Evidence]:
    if ("gradient", "moments") not in tables:
        return
    table = tables["gradient", "moments"]
    scale = (table["numel"] / table["sampled"]).values
    squares = np.zeros(table.sizes["step"])
    for i, (name, columns) in enumerate(_rows(table)):
        known = _moments(columns) | {"zeros": columns["zeros"], "mean_abs": columns["abs"] / columns["count"]}
        yield Evidence(f"{name}.grad", "gradient", known)
        own = columns["m2"] + columns["count"] * columns["mean"] ** 2
        squares[np.isin(table["step"].values, columns["steps"])] += np.nan_to_num(own * scale[i])
    yield Evidence(NETWORK, "gradient", {"steps": table["step"].values, "signal": np.sqrt(squares)})
    for name, columns in _rows(tables["gradient", "quantiles"]):
        known = {"quantile_05": columns["quantile_0"], "quantile_95": columns["quantile_1"]}
        yield Evidence(f"{name}.grad", "gradient", {"steps": columns["steps"]} | known)


def _layers(tables: Tables, early: int) -> Iterator[Evidence]:
    variances = []
    for (kind, name), table in tables.items():
        if kind != "layer":
            continue
        sums = {column: table.values[..., i] for i, column in enumerate(ACTIVITY)}
        share = sums["active"] / sums["valid"]
        known = {"steps": table["step"].values, "nonfinite": sums["nonfinite"].sum(1)}
        known |= dict.fromkeys(str(table["gives"].item()).split(), share)
        yield Evidence(name, "layer", known)
        valid = sums["valid"].sum(1)
        variance = sums["squares"].sum(1) / valid - (sums["sum"].sum(1) / valid) ** 2
        variances.append(xr.DataArray(variance, {"step": known["steps"]}, ("step",)))
    yield from _variances(variances, "layer", early)


def _metrics(tables: Tables, early: int, loss: str, validation_loss: str) -> Iterator[Evidence]:
    if ("metric", "") not in tables:
        return
    table = tables["metric", ""]
    steps, names = table["step"].values, [str(name) for name in table["column"].values]
    columns = dict(zip(names, table.values.T, strict=True))
    training = columns.get(metric_name(loss, names, LOSSES))
    validation = columns.get(metric_name(validation_loss, names, VALIDATION_LOSSES))
    if training is not None:
        known = ~np.isnan(training)
        measured, at = training[known], steps[known]
        place = metric_name(loss, names, LOSSES)
        yield Evidence(place, "metric", {"steps": at, "loss": measured, "signal": measured})
        few = first_few(at, early)
        yield Evidence(place, "metric", {"steps": at[:few], "early_loss": measured[:few]})
        yield Evidence(place, "metric", {"steps": steps, "nonfinite": _exploded(training)})
    if training is not None and validation is not None:
        place = metric_name(validation_loss, names, VALIDATION_LOSSES)
        yield Evidence(place, "metric", {"steps": steps, "training": training, "validation": validation})


def _exploded(loss: np.ndarray) -> np.ndarray:
    """Mark infinite losses, and NaN from some step on to the end if none was missing before: that was measured."""
    missing = np.isnan(loss)
    first = int(missing.argmax())
    ended = bool(missing.any()) and first > 0 and bool(missing[first:].all())
    return np.isinf(loss).astype(float) + (missing if ended else 0.0)
