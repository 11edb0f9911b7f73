"""Which NaN of a metric are values that training logged, and which stand for a step without one."""

from collections.abc import Mapping

import numpy as np
import xarray as xr


def mark_of(metric: str, metrics: xr.Dataset) -> str:
    """Return the name of the coord that says at which steps a metric was measured.

    >>> mark_of("loss", xr.Dataset({"loss": ("step", [1.0])}))
    'loss_measured'
    """
    name = f"{metric}_measured"
    while name in metrics.data_vars:
        name += "_"
    return name


def with_marks(metrics: xr.Dataset, measured: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Add the coords that say at which steps metrics were measured.

    Only a metric with NaN needs one: a NaN is a value where the coord is true, and stands for no value where it is
    false.

    Parameters
    ----------
    metrics
        The metrics, (step) each.
    measured
        Whether each was measured, (step), by the name of the metric.
    """
    marks = {
        mark_of(name, metrics): ("step", measured[name], {"long_name": f"whether {name} was measured", "units": "1"})
        for name in map(str, metrics.data_vars)
        if name in measured and np.isnan(metrics[name].values).any()
    }
    return metrics.assign_coords(marks)


def marks_of(metric: str, metrics: xr.Dataset) -> xr.DataArray | None:
    """Return whether a metric was measured, (step) bool; None if the run does not say."""
    name = mark_of(metric, metrics)
    return metrics[name] if name in metrics.coords and metrics[name].dims == ("step",) else None


def likely_measured(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Guess at which steps a metric without marks was measured, (step) bool: at all that its interval reaches.

    The interval is the greatest common divisor of the distances between steps with a number. Without two numbers, every
    step counts as measured.

    >>> likely_measured(np.array([2.0, np.nan, 1.5, np.nan, np.nan]), np.array([0, 5, 10, 15, 20]))
    array([ True, False,  True, False,  True])
    """
    numbers = ~np.isnan(values)
    interval = int(np.gcd.reduce(np.diff(steps[numbers]))) if numbers.sum() > 1 else 0
    if not interval:
        return np.ones(len(steps), bool)
    return numbers | ((steps - steps[numbers][0]) % interval == 0)
