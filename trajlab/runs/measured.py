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
