"""Loss, learning rate, gradient norm and scores as training logged them."""

from functools import partial

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.scan.as_one_task import as_one_task
from trajlab.statistics.metrics import ROLES, is_measured, metric_columns, role_of
from trajlab.statistics.result import Meaning, annotate

MEANINGS = {
    "value": Meaning("value of the metric", "as the metric", "as logged; NaN where it was not"),
    "smoothed": Meaning(
        "moving average of the metric", "as the metric", "s_k / (1 − βᵏ), s_k = β s_(k−1) + (1 − β) x_k over its values"
    ),
    "nonfinite": Meaning("whether NaN or Inf was logged", "1", "1 where the metric was logged and is not finite"),
}


def learning_curves(metrics: xr.Dataset, *, smoothing: float = 0.6) -> xr.Dataset:
    """Loss, learning rate, gradient norm and scores over the steps, as training logged them.

    Answers: how did training go: did the loss fall, when did it stop, and how far is the validation loss?

    Parameters
    ----------
    metrics
        Recorded metrics, dims (step).
    smoothing
        Decay β of the moving average, from 0 to below 1; it is over the logged values and corrected for its start.

    Returns
    -------
    value, smoothed : (step, metric)
        The metric, and its moving average; NaN at steps at which it was not logged. The coord `role` says what it is:
        training loss, validation loss, learning rate, gradient norm, score or other.
    nonfinite : (step, metric)
        Whether NaN or Inf was logged.

    Raises
    ------
    BadSetting
        `smoothing` is not from 0 to below 1.
    MissingData
        No metric is a number for each step.
    """
    if not 0 <= smoothing < 1:
        raise BadSetting(
            f"cannot compute learning_curves with smoothing={smoothing}: choose a number from 0 to below 1"
        )
    columns = metric_columns(metrics)
    if columns is None:
        raise MissingData(
            f"cannot compute learning_curves: none of the metrics {', '.join(map(str, metrics))} is a number for each "
            "step; record with recorder.step(loss=...)"
        )
    result = as_one_task(partial(_result, smoothing=smoothing), *columns)
    names = sorted(map(str, result["metric"].values), key=lambda name: (ROLES.index(role_of(name)), name))
    roles = ("metric", np.array([role_of(name) for name in names], dtype=object))
    return annotate(result.sel(metric=names).assign_coords(role=roles), MEANINGS, smoothing=smoothing)


def _result(values: xr.DataArray, measured: xr.DataArray, *, smoothing: float) -> xr.Dataset:
    steps = values["step"].values
    raw = values.transpose("step", "column").values
    marks = measured.transpose("step", "column").values
    logged = np.stack([is_measured(raw[:, i], steps, marks[:, i]) for i in range(raw.shape[1])], 1)
    smoothed = np.full(raw.shape, np.nan)
    for column in range(raw.shape[1]):
        average, weight = 0.0, 0.0
        for row in np.flatnonzero(logged[:, column] & np.isfinite(raw[:, column])):
            average = smoothing * average + (1 - smoothing) * raw[row, column]
            weight = smoothing * weight + (1 - smoothing)
            smoothed[row, column] = average / weight
    dims = ("step", "metric")
    variables = {
        "value": (dims, np.where(logged, raw, np.nan)),
        "smoothed": (dims, smoothed),
        "nonfinite": (dims, (logged & ~np.isfinite(raw)).astype(np.float64)),
    }
    return xr.Dataset(variables, {"step": steps, "metric": values["column"].values})
