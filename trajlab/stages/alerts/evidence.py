"""What rules are judged on: a few numbers for each step of each tensor, layer and metric."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr

from trajlab.replays.observers.activity import COLUMNS, is_flat
from trajlab.stages.alerts.tables import Key, Tables, count_early
from trajlab.statistics.metrics import LOSSES, VALIDATION_LOSSES, is_measured, metric_name
from trajlab.statistics.unusual import NETWORK


class Evidence(NamedTuple):
    """What is known of one parameter, gradient, layer or metric.

    Parameters
    ----------
    place
        Name of the parameter, with .grad for its gradient; of the layer; of the metric; or `NETWORK`.
    kind
        weight, gradient, layer or metric.
    columns
        Numbers by name, (step, …), and their `steps`. Names that begin with published_ are what a rule is checked on
        in the form in which it was published.
    """

    place: str
    kind: str
    columns: dict[str, np.ndarray]


def gather(tables: Tables, *, early_steps: int, loss: str, validation_loss: str, published: bool) -> Iterator[Evidence]:
    """Yield all evidence that the tables hold.

    Parameters
    ----------
    tables
        What was computed of weights, gradients, layers and metrics.
    early_steps
        Number of optimizer steps in which a poor initialization shows.
    loss, validation_loss
        Names of the metrics; empty for the usual names.
    published
        Whether rules are checked as they were published.
    """
    rules = "published_" if published else ""
    yield from _weights(tables, early_steps, rules)
    yield from _gradients(tables, early_steps, rules)
    yield from _layers(tables, early_steps, rules)
    yield from _metrics(tables, early_steps, loss, validation_loss, rules)


def _rows(table: xr.DataArray) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield the columns of each parameter at the steps at which it was recorded."""
    names = [str(name) for name in table["column"].values]
    for i, parameter in enumerate(table["parameter"].values):
        values = table.values[i]
        recorded = ~np.isnan(values[:, 0])
        columns = dict(zip(names, values[recorded].T, strict=True))
        yield str(parameter), {"steps": table["step"].values[recorded]} | columns


def _counts(moments: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        "steps": moments["steps"],
        "nonfinite": moments["nonfinite"],
        "entries": moments["count"] + moments["nonfinite"],
    }


def _weights(tables: Tables, early_steps: int, rules: str) -> Iterator[Evidence]:
    if Key("weight", "moments") not in tables:
        return
    table, updates = tables[Key("weight", "moments")], tables[Key("weight", "updates")]
    ranks = tables.get(Key("weight", "rank"))
    variances = []
    for i, (name, moments) in enumerate(_rows(table)):
        is_matrix = bool(table["is_matrix"].values[i])
        valid, change, size, not_close = updates.values[i, np.isin(table["step"].values, moments["steps"])].T
        is_frozen = bool(table["frozen"].values[i])  # it is meant not to change
        columns = _counts(moments)
        if (is_matrix or rules) and not is_frozen:
            columns["not_close"] = not_close
        if is_matrix:
            columns |= {"zeros": moments["zeros"], "variance": moments["m2"] / moments["count"]}
            if ranks is not None:
                columns["rank"] = ranks.sel(parameter=name).reindex(step=moments["steps"]).values
            columns |= {} if is_frozen else {"change": change / valid, "size": size / valid}
            gain = table["fan_in"].values[i] * columns["variance"]
            if rules or not _leaves_zero(columns):
                variances.append(xr.DataArray(gain, {"step": moments["steps"]}, ("step",)))
            else:
                columns = _since_it_left_zero(columns)
        yield Evidence(name, "weight", columns)
    if not any(key.kind == "layer" for key in tables):
        yield from _early_variances(variances, "weight", early_steps, rules)


def _leaves_zero(columns: dict[str, np.ndarray]) -> bool:
    """Return whether a matrix is zero at first, as the second one of LoRA, and later not."""
    is_zero = columns["zeros"] == columns["entries"]
    return bool(is_zero[:1].any() and not is_zero.all())


def _since_it_left_zero(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Leave out the steps at which a matrix is still zero, and its first update."""
    is_zero = np.cumprod(columns["zeros"] == columns["entries"]).astype(bool)
    moved_from_zero = np.concatenate([[True], is_zero[:-1]])
    left_out = {
        "zeros": is_zero,
        "variance": is_zero,
        "rank": is_zero,
        "change": moved_from_zero,
        "size": moved_from_zero,
    }
    return columns | {name: np.where(left_out[name], np.nan, columns[name]) for name in left_out if name in columns}


def _early_variances(variances: list[xr.DataArray], kind: str, early_steps: int, rules: str) -> Iterator[Evidence]:
    if len(variances) > 1:
        joined = xr.concat(variances, "layer", join="outer", coords="minimal", compat="override")
        joined = joined.transpose("layer", "step")
        joined = joined.isel(step=slice(count_early(joined["step"].values, early_steps)))
        columns = {"steps": joined["step"].values, f"{rules}early_variances": joined.values}
        yield Evidence(NETWORK, kind, columns)


def _gradients(tables: Tables, early_steps: int, rules: str) -> Iterator[Evidence]:
    if Key("gradient", "moments") not in tables:
        return
    table = tables[Key("gradient", "moments")]
    scale = (table["numel"] / table["sampled"]).values
    is_matrix = table["is_matrix"].values
    squares = np.zeros(table.sizes["step"])
    for i, (name, moments) in enumerate(_rows(table)):
        more = {"zeros": moments["zeros"]}
        if rules or is_matrix[i]:
            more["mean_abs"] = moments["abs"] / moments["count"]
        yield Evidence(f"{name}.grad", "gradient", _counts(moments) | more)
        of_parameter = moments["m2"] + moments["count"] * moments["mean"] ** 2
        squares[np.isin(table["step"].values, moments["steps"])] += np.nan_to_num(of_parameter * scale[i])
    yield Evidence(NETWORK, "gradient", {"steps": table["step"].values, "signal": np.sqrt(squares)})
    if rules:
        for name, quantiles in _rows(tables[Key("gradient", "quantiles")]):
            columns = {
                "steps": quantiles["steps"],
                "early_quantile_05": quantiles["quantile_0"],
                "early_quantile_95": quantiles["quantile_1"],
            }
            yield Evidence(f"{name}.grad", "gradient", columns)
        return
    yield from _early_relative_sizes(table.isel(parameter=is_matrix), early_steps)


def _early_relative_sizes(table: xr.DataArray, early_steps: int) -> Iterator[Evidence]:
    """Compare the RMS of each gradient of a matrix with the largest of any at the same step."""
    early = table.isel(step=slice(count_early(table["step"].values, early_steps)))
    sums = {name: early.sel(column=name).values for name in ("count", "mean", "m2")}
    sizes = np.sqrt(sums["m2"] / sums["count"] + sums["mean"] ** 2)
    if len(sizes) > 1:
        for name, size in zip(early["parameter"].values, sizes / np.fmax.reduce(sizes), strict=True):
            columns = {"steps": early["step"].values, "early_relative_size": size}
            yield Evidence(f"{name}.grad", "gradient", columns)


def _layers(tables: Tables, early_steps: int, rules: str) -> Iterator[Evidence]:
    variances = []
    for key, table in tables.items():
        if key.kind != "layer":
            continue
        sums = {column: table.values[..., i] for i, column in enumerate(COLUMNS)}
        columns = {"steps": table["step"].values, "nonfinite": sums["nonfinite"].sum(1)}
        shares = dict.fromkeys(("unsaturated", "relu_active"), sums["active"] / sums["valid"])
        shares["active"] = (sums["valid"] - sums["at_low"]) / sums["valid"]
        if key.smooth:
            shares["active"][is_flat(sums["squares"], sums["size"], sums["valid"])] = 0.0
        columns |= {name: shares[name] for name in key.evidence}
        yield Evidence(key.of, "layer", columns)
        valid = sums["valid"].sum(1)
        variance = sums["squares"].sum(1) / valid - (sums["sum"].sum(1) / valid) ** 2
        variances.append(xr.DataArray(variance, {"step": columns["steps"]}, ("step",)))
    yield from _early_variances(variances, "layer", early_steps, rules)


def _metrics(tables: Tables, early_steps: int, loss: str, validation_loss: str, rules: str) -> Iterator[Evidence]:
    table = tables.get(Key("metric", "values"))
    if table is None:
        return
    steps, names = table["step"].values, [str(name) for name in table["column"].values]
    columns = dict(zip(names, table.values.T, strict=True))
    marks = dict(zip(names, tables[Key("metric", "measured")].values.T, strict=True))
    training, validation = metric_name(loss, names, LOSSES), metric_name(validation_loss, names, VALIDATION_LOSSES)
    if training:
        numbers = ~np.isnan(columns[training])
        values, at = columns[training][numbers], steps[numbers]
        yield Evidence(training, "metric", {"steps": at, f"{rules}loss": values, "signal": values})
        early = count_early(at, early_steps)
        yield Evidence(training, "metric", {"steps": at[:early], f"{rules}early_loss": values[:early]})
    for name in dict.fromkeys(filter(None, (training, validation))):
        measured = is_measured(columns[name], steps, marks[name])
        nonfinite = np.where(measured, ~np.isfinite(columns[name]), np.nan)
        yield Evidence(name, "metric", {"steps": steps, "nonfinite": nonfinite})
    if training and validation:
        losses = {
            "steps": steps,
            "training_loss": columns[training],
            f"{rules}validation_loss": columns[validation],
        }
        yield Evidence(validation, "metric", losses)
