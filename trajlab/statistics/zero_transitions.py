"""Transitions of gradient entries into and out of near zero, counted for each threshold."""

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
    if not both or len(set(both)) < len(both) or not all(threshold >= 0 for threshold in both):
        raise BadSetting(
            f"cannot use the thresholds tau={list(tau)} and relative={list(relative)}: they must be one or more, all "
            "different and 0 or above; change the setting."
        )
    return Transitions(tuple(map(float, tau)), tuple(map(float, relative)))


def by_threshold(table: xr.DataArray, tau: Sequence[float], relative: Sequence[float]) -> xr.Dataset:
    """Return the columns of the kernel `Transitions` by name, with a dim `tau` where they depend on the threshold.

    The first step, which has no predecessor, is left out. The coord `tau_kind` distinguishes absolute thresholds from
    multiples of the root mean square of the tensor at the step.
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
    """Label the counts of never active entries by cause, (…, cause)."""
    return summary.rename(summary="cause").assign_coords(cause=np.array(CAUSES, dtype=object))
