"""How gradient entries pass from one recorded step to the next, counted for each threshold."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.scan.kernels.causes import CAUSES
from trajlab.scan.kernels.zero_transitions import ONCE, PER_TAU, SECANTS, Transitions
from trajlab.statistics.result import stride


def kernel_of(tau: Sequence[float], relative: Sequence[float]) -> Transitions:
    """Make the kernel for absolute and relative thresholds.

    Raises
    ------
    BadSetting
        There is no threshold, the same one twice, or one is negative.
    """
    both = [*map(float, tau), *map(float, relative)]
    if not both or len(set(both)) < len(both) or not all(one >= 0 for one in both):
        raise BadSetting(
            f"tau={list(tau)} and relative={list(relative)} were asked for; one or more thresholds are needed, all "
            "different and at least 0. Change the setting."
        )
    return Transitions(tuple(map(float, tau)), tuple(map(float, relative)))


def by_threshold(table: xr.DataArray, tau: Sequence[float], relative: Sequence[float]) -> xr.Dataset:
    """Give the columns of the kernel `Transitions` by name, with a dim `tau` where they depend on it.

    The first step, which has none before it, is left out. The coord `tau_kind` tells absolute thresholds from those
    in units of the root mean square of the tensor at the step.
    """
    count = len(tau) + len(relative)
    head, width = len(ONCE) + len(SECANTS), len(PER_TAU)
    table = stride(table.drop_vars(["column", "pooling"])).isel(step=slice(1, None))
    dims = table.dims[:-1]
    values = table.values
    by_tau = values[..., head:].reshape(*values.shape[:-1], count, width)
    columns = {name: (dims, values[..., i]) for i, name in enumerate(ONCE + SECANTS)}
    columns |= {name: ((*dims, "tau"), by_tau[..., i]) for i, name in enumerate(PER_TAU)}
    labels = {
        "tau": ("tau", np.array([*tau, *relative], np.float64), {"long_name": "threshold", "units": "gradient"}),
        "tau_kind": ("tau", np.array(["absolute"] * len(tau) + ["relative"] * len(relative), dtype=object)),
    }
    return xr.Dataset(columns, table.coords).assign_coords(labels)


def by_cause(summary: xr.DataArray) -> xr.DataArray:
    """Name the causes in what a kernel knows of entries that were never active, (…, cause)."""
    return summary.rename(summary="cause").assign_coords(cause=np.array(CAUSES, dtype=object))
