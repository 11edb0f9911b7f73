"""Which epoch each step belongs to."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting


class Calendar(NamedTuple):
    """The epochs that some steps fall into.

    Parameters
    ----------
    numbers
        Number of each epoch, rising.
    starts
        Position of its first step among the steps.
    source
        Where this is known from.
    """

    numbers: np.ndarray
    starts: np.ndarray
    source: str


def calendar(steps: np.ndarray, metrics: xr.Dataset | None, steps_per_epoch: int) -> Calendar:
    """Part steps into epochs.

    Parameters
    ----------
    steps
        Rising steps.
    metrics
        What was measured while training; its column `epoch`, of which the whole part counts, names the epochs. Between
        the steps at which it was measured it is taken to rise evenly.
    steps_per_epoch
        Steps of an epoch, which go before the metrics; 0 if that is unknown.

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
            f"steps_per_epoch={steps_per_epoch} was asked for; it is 1 or more, or 0 for unknown. Change it."
        )
    if steps_per_epoch:
        numbers, source = steps // min(steps_per_epoch, np.iinfo(np.int64).max), "steps_per_epoch"
    else:
        known, epochs = _measured(metrics)
        numbers, source = np.zeros(len(steps), np.int64), "unknown, all steps taken as one"
        if len(known):
            rising = np.maximum.accumulate(np.interp(steps, known, epochs))
            numbers, source = np.floor(rising + 1e-9).astype(np.int64), "the metric epoch"
    found, starts = np.unique(numbers, return_index=True)
    return Calendar(found, starts, source)


def _measured(metrics: xr.Dataset | None) -> tuple[np.ndarray, np.ndarray]:
    """Give the steps at which the epoch was measured, and the epochs."""
    if metrics is None or "epoch" not in metrics or metrics["epoch"].dims != ("step",):
        return np.empty(0), np.empty(0)
    epochs = metrics["epoch"].values.astype(np.float64)
    known = np.isfinite(epochs)
    return metrics["step"].values[known], epochs[known]
