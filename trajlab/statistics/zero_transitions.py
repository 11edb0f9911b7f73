"""Transitions of gradient entries into and out of near zero, counted for each threshold."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.scan.kernels.causes import CAUSES
from trajlab.scan.kernels.transition_counts import ONCE, PER_TAU, SECANTS
from trajlab.scan.kernels.transition_errors import COVARIANCES, RATES, RATES_OF_TAU, TransitionErrors
from trajlab.scan.kernels.zero_transitions import Transitions
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


def errors_of(kernel: Transitions) -> TransitionErrors:
    """Return the kernel of the errors of the rates, for the same thresholds."""
    return TransitionErrors(kernel.tau, kernel.relative)


def by_threshold(
    table: xr.DataArray, tau: Sequence[float], relative: Sequence[float], errors: Sequence[xr.DataArray] = ()
) -> xr.Dataset:
    """Return the columns of the kernel `Transitions` by name, with a dim `tau` where they depend on the threshold.

    The first step, which has no predecessor, is left out. The coord `tau_kind` distinguishes absolute thresholds from
    multiples of the root mean square of the tensor at the step. The columns of the kernel `TransitionErrors` join them
    as `<rate>_<covariance>`; they are 0 if there is no table of errors.
    """
    labels = {
        "tau": ("tau", np.array([*tau, *relative], np.float64), {"long_name": "threshold", "units": "gradient"}),
        "tau_kind": ("tau", np.array(["absolute"] * len(tau) + ["relative"] * len(relative), dtype=object)),
    }
    result = _columns(table, ONCE + SECANTS, PER_TAU)
    covariances = [
        tuple(f"{name}_{which}" for name in names for which in COVARIANCES) for names in (RATES, RATES_OF_TAU)
    ]
    if errors:
        result = result.assign(_columns(errors[0], *covariances).data_vars)
    else:
        result = result.assign(dict.fromkeys(covariances[0], 0.0 * result["valid"].variable))
        result = result.assign(dict.fromkeys(covariances[1], 0.0 * result["near_next"].variable))
    return result.assign_coords(labels)


def _columns(table: xr.DataArray, once: Sequence[str], per_tau: Sequence[str]) -> xr.Dataset:
    """Return the columns of a kernel without the first step, those of each threshold with a dim `tau`."""
    table = stride(table.drop_vars(["column", "pooling"])).isel(step=slice(1, None))
    dims, values = table.dims[:-1], table.values
    thresholds = (values.shape[-1] - len(once)) // len(per_tau)
    by_tau = values[..., len(once) :].reshape(*values.shape[:-1], thresholds, len(per_tau))
    columns = {name: (dims, values[..., i]) for i, name in enumerate(once)}
    columns |= {name: ((*dims, "tau"), by_tau[..., i]) for i, name in enumerate(per_tau)}
    return xr.Dataset(columns, table.coords)


def by_cause(summary: xr.DataArray) -> xr.DataArray:
    """Label the counts of never active entries by cause, (…, cause)."""
    return summary.rename(summary="cause").assign_coords(cause=np.array(CAUSES, dtype=object))
