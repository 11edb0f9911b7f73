"""How gradient entries pass from one recorded step to the next, counted for each threshold."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from trajlab.kernels.transitions import PER_TAU, Transitions
from trajlab.result import along, stride
from trajlab.scan import Tensor, scan


def transitions(
    gradient: Tensor, weight: Tensor | None, tau: Sequence[float], relative: Sequence[float]
) -> tuple[xr.Dataset, xr.DataArray]:
    """Count transitions of gradient entries, lazily.

    Parameters
    ----------
    gradient, weight
        As `scan` takes them.
    tau
        Absolute thresholds.
    relative
        Thresholds in units of the root mean square of the tensor at the step.

    Returns
    -------
    sums : (parameter, step), with `tau` where it matters
        The columns of the kernel `Transitions`, without the first step, which has none before it. The coord `tau_kind`
        tells absolute thresholds from relative ones.
    always_zero : (parameter, cause)
        Entries that were zero at all steps.
    """
    kernel = Transitions(tuple(map(float, tau)), tuple(map(float, relative)))
    sums, always = scan(kernel, gradient, weight=weight)
    count = len(tau) + len(relative)
    labels = {
        "tau": ("tau", np.array([*tau, *relative], np.float64), {"long_name": "threshold", "units": "gradient"}),
        "tau_kind": ("tau", np.array(["absolute"] * len(tau) + ["relative"] * len(relative), dtype=object)),
    }
    joined = {name: along([sums[f"{name}_{k}"] for k in range(count)], "tau") for name in PER_TAU}
    sums = sums.drop_vars([f"{name}_{k}" for name in PER_TAU for k in range(count)]).assign(joined)
    sums = stride(sums).isel(step=slice(1, None)).assign_coords(labels)
    return sums, always.rename(summary="cause").assign_coords(cause=np.array(kernel.summary, dtype=object))
