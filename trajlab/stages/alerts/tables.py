"""What rules need to know, as lazy tables of a few numbers for each step of each tensor, layer and metric."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from trajlab.replays.observe import observe
from trajlab.replays.observers.activity import Activity, kind_of
from trajlab.replays.observers.constants import is_rectified_later
from trajlab.scan.kernels.distribution import Distribution
from trajlab.scan.kernels.moments import Moments
from trajlab.scan.kernels.update_size import Updates
from trajlab.scan.scan import scan
from trajlab.scan.select_steps import select_steps
from trajlab.stages.alerts.matrix_rank import rank_table
from trajlab.statistics.metrics import metric_columns
from trajlab.statistics.units import shape_of, units_of


class Key(NamedTuple):
    """What a table holds.

    Parameters
    ----------
    kind
        weight, gradient, layer or metric.
    table
        moments, updates, rank (parameter, step), quantiles, activity, values or measured.
    of
        The parameter or layer, where a table holds only one.
    evidence
        Names under which rules ask for the activity of a layer.
    smooth
        Whether the activation of a layer only tends to its constant.
    """

    kind: str
    table: str
    of: str = ""
    evidence: tuple[str, ...] = ()
    smooth: bool = False


Tables = dict[Key, xr.DataArray]


def weight_tables(
    weights: Mapping[str, xr.DataArray],
    matrices: Mapping[str, xr.DataArray],
    *,
    atol: float,
    rtol: float,
    rank_measure: str,
) -> Tables:
    """Return moments and updates of all weights, and the ranks of matrices.

    Parameters
    ----------
    weights
        Weights by name.
    matrices
        Those whose ranks are needed, at the steps at which they are.
    atol, rtol
        Tolerances of updates.
    rank_measure
        Kind of the rank.
    """
    if not weights:
        return {}
    moments, _ = scan(Moments(), weights)
    updates, _ = scan(Updates(atol, rtol), weights)
    arrays = list(weights.values())
    coords = {
        "fan_in": [int(np.prod(shape_of(array), dtype=np.int64)) // max(units_of(array), 1) for array in arrays],
        "frozen": [bool(array.attrs.get("frozen")) for array in arrays],
        "is_matrix": [array.ndim > 2 and math.prod(array.shape[1:]) > 0 for array in arrays],
    }
    moments = moments.assign_coords({name: ("parameter", values) for name, values in coords.items()})
    tables = {Key("weight", "moments"): moments, Key("weight", "updates"): updates}
    return tables | ({Key("weight", "rank"): rank_table(matrices, rank_measure)} if matrices else {})


def gradient_tables(gradients: Mapping[str, xr.DataArray], *, early_steps: int, published: bool) -> Tables:
    """Return moments of all gradients, and for published rules quantiles of the first few optimizer steps."""
    if not gradients:
        return {}
    moments, _ = scan(Moments(), gradients)
    is_matrix = np.array([len(shape_of(array)) > 1 for array in gradients.values()], bool)
    moments = moments.assign_coords(is_matrix=("parameter", is_matrix))
    tables = {Key("gradient", "moments"): moments}
    if published:
        early = {
            name: select_steps(array, slice(count_early(array["step"].values, early_steps)))
            for name, array in gradients.items()
        }
        tables[Key("gradient", "quantiles")], _ = scan(Distribution((0.05, 0.95), 2), early, reference=0)
    return tables


def layer_tables(activations: Mapping[str, xr.DataArray], *, tanh: Sequence[float], sigmoid: Sequence[float]) -> Tables:
    """Return the activity of each layer's units on the probe.

    Parameters
    ----------
    activations
        Outputs of layers by name.
    tanh, sigmoid
        Inputs, below and above, from which on these functions are saturated.
    """
    if not activations:
        return {}
    with np.errstate(over="ignore"):
        limits = {"Tanh": np.tanh(tanh), "Sigmoid": 1.0 / (1.0 + np.exp(-np.asarray(sigmoid)))}
    bounds = tuple((name, float(low), float(high)) for name, (low, high) in limits.items())
    tables = {}
    for name, table in observe(activations, Activity(bounds)).items():
        bounded = kind_of(table.attrs) in limits
        relu = table.attrs.get("rectified", False) or is_rectified_later(table.attrs)
        evidence = ("unsaturated",) if bounded else ("relu_active",) * bool(relu) + ("active",)
        can_be_dead = not table.attrs.get("unknown_units") and (bounded or table.attrs["can_die"])
        evidence = evidence if can_be_dead else ()
        tables[Key("layer", "activity", name, evidence, table.attrs["smooth"])] = table
    return tables


def metric_tables(metrics: xr.Dataset | None) -> Tables:
    """Return all metrics of a single number a step, as columns of one table, and at which steps each was measured."""
    columns = metric_columns(metrics)
    return dict(zip((Key("metric", "values"), Key("metric", "measured")), columns, strict=True)) if columns else {}


def count_early(steps: np.ndarray, early_steps: int) -> int:
    """Count the recorded steps among the first few optimizer steps from the first recorded one on.

    >>> count_early(np.array([20, 25, 30, 35]), 10)
    2
    """
    return int((steps < steps[:1].sum() + early_steps).sum())
