"""Assign steps to epochs."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting


class Calendar(NamedTuple):
    """Epochs of a sequence of steps.

    Parameters
    ----------
    numbers
        Number of each epoch, rising.
    starts
        Position of the first step of each epoch.
    source
        Where the epochs are known from.
    """

    numbers: np.ndarray
    starts: np.ndarray
    source: str


def calendar(steps: np.ndarray, metrics: xr.Dataset | None, steps_per_epoch: int) -> Calendar:
    """Assign steps to epochs.

    Parameters
    ----------
    steps
        Rising steps.
    metrics
        Recorded metrics. The integer part of the metric `epoch` numbers the epochs; between the steps at which it was
        recorded it is interpolated linearly.
    steps_per_epoch
        Steps of an epoch, which take precedence over the metrics; 0 if unknown.

    Raises
    ------
    BadSetting
        `steps_per_epoch` is negative.

    Examples
    --------
    >>> calendar(np.arange(5), None, 2).starts
    array([0, 2, 4])
    """
    if steps_per_epoch < 0:
        raise BadSetting(
            f"cannot use steps_per_epoch={steps_per_epoch}: choose 1 or more, or 0 to take epochs from the metrics"
        )
    if steps_per_epoch:
        numbers, source = steps // min(steps_per_epoch, np.iinfo(np.int64).max), "steps_per_epoch"
    else:
        at, epochs = _recorded(metrics)
        numbers, source = np.zeros(len(steps), np.int64), "unknown, all steps form one epoch"
        if len(at):
            rising = np.maximum.accumulate(np.interp(steps, at, epochs))
            numbers, source = np.floor(rising + 1e-9).astype(np.int64), "the metric epoch"
    epochs_found, starts = np.unique(numbers, return_index=True)
    return Calendar(epochs_found, starts, source)


def _recorded(metrics: xr.Dataset | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps at which the epoch was recorded, and the epochs."""
    if metrics is None or "epoch" not in metrics or metrics["epoch"].dims != ("step",):
        return np.empty(0), np.empty(0)
    epochs = metrics["epoch"].values.astype(np.float64)
    finite = np.isfinite(epochs)
    return metrics["step"].values[finite], epochs[finite]
