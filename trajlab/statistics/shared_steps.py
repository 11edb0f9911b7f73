"""Tensors that were recorded at different steps: their own strides, and the steps that all share."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from trajlab.errors import first_of
from trajlab.runs.tensors import common_steps
from trajlab.scan.select_steps import select_steps
from trajlab.schema import TOTALS_OVER


def at_shared_steps(tensors: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray] | None:
    """Return tensors at the steps at which all were recorded; None if each was at all of them."""
    recorded = [array["step"].values for array in tensors.values()]
    shared = common_steps(recorded)
    if all(len(steps) == len(shared) for steps in recorded):
        return None
    return {name: select_steps(array, np.isin(array["step"].values, shared)) for name, array in tensors.items()}


def totals_over(
    tensors: xr.DataArray | Mapping[str, xr.DataArray] | None, *, at_each_step: bool = False
) -> dict[str, str]:
    """Return the attr that says what totals are over, nothing if all tensors were recorded at the same steps.

    Parameters
    ----------
    tensors
        The tensors.
    at_each_step
        Whether a total is over the tensors that were recorded at a step, not at the steps that all share only.
    """
    if not isinstance(tensors, Mapping):
        return {}
    together = at_shared_steps(tensors)
    if together is None:
        return {}
    recorded = {name: array.sizes["step"] for name, array in tensors.items()}
    steps = len(np.unique(np.concatenate([array["step"].values for array in tensors.values()])))
    shared = next(iter(together.values())).sizes["step"]
    rare = sorted((name for name, count in recorded.items() if count < steps), key=lambda name: recorded[name])
    names = first_of((f"{name} ({recorded[name]})" for name in rare), 3)
    over = "the tensors recorded at each step" if at_each_step else f"the {shared} steps at which all were recorded"
    return {TOTALS_OVER: f"{over}; not recorded at all {steps} steps: {names}"}


def own_strides(tensors: Mapping[str, xr.DataArray], steps: np.ndarray) -> np.ndarray:
    """Return how many optimizer steps lie between each step of a tensor and the one at which it was recorded before.

    Parameters
    ----------
    tensors
        The tensors.
    steps
        The steps of the result.

    Returns
    -------
    (parameter, step); NaN at the first step of a tensor, and where it was not recorded.
    """
    strides = np.full((len(tensors), len(steps)), np.nan)
    for row, array in zip(strides, tensors.values(), strict=True):
        recorded = array["step"].values
        at = np.isin(recorded[1:], steps)
        row[np.searchsorted(steps, recorded[1:][at])] = np.diff(recorded)[at]
    return strides


def stride_where(is_recorded: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return how many optimizer steps lie between each known value and the one before, (…, step); NaN elsewhere.

    >>> stride_where(np.array([True, False, True, True]), np.array([0, 5, 10, 12]))
    array([nan, nan, 10.,  2.])
    """
    last = np.maximum.accumulate(np.where(is_recorded, steps, -np.inf), axis=-1)
    before = np.concatenate([np.full((*last.shape[:-1], 1), -np.inf), last[..., :-1]], axis=-1)
    return np.where(is_recorded & np.isfinite(before), steps - before, np.nan)
