"""How gradient entries pass from one recorded step to the next, counted for each threshold."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from trajlab.kernels.causes import CAUSES
from trajlab.kernels.transitions import PER_TAU
from trajlab.result import along, stride


def by_threshold(table: xr.DataArray, tau: Sequence[float], relative: Sequence[float]) -> xr.Dataset:
    """Give the columns of the kernel `Transitions` by name, with a dim `tau` where they depend on it.

    The first step, which has none before it, is left out. The coord `tau_kind` tells absolute thresholds from those
    in units of the root mean square of the tensor at the step.
    """
    sums = table.to_dataset("column")
    count = len(tau) + len(relative)
    labels = {
        "tau": ("tau", np.array([*tau, *relative], np.float64), {"long_name": "threshold", "units": "gradient"}),
        "tau_kind": ("tau", np.array(["absolute"] * len(tau) + ["relative"] * len(relative), dtype=object)),
    }
    joined = {name: along([sums[f"{name}_{k}"] for k in range(count)], "tau") for name in PER_TAU}
    sums = sums.drop_vars([f"{name}_{k}" for name in PER_TAU for k in range(count)]).assign(joined)
    return stride(sums).isel(step=slice(1, None)).assign_coords(labels)


def by_cause(summary: xr.DataArray) -> xr.DataArray:
    """Name the causes in what a kernel knows of entries that were never active, (…, cause)."""
    return summary.rename(summary="cause").assign_coords(cause=np.array(CAUSES, dtype=object))
