"""A trajectory of arrays in memory."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.runs.tensors import Series, Tensors, attributes_of
from trajlab.runs.trajectory import Trajectory


def from_arrays(
    weights: Mapping[str, Any],
    gradients: Mapping[str, Any] | None = None,
    *,
    steps: Any = None,
    buffers: Mapping[str, Any] | None = None,
    metrics: xr.Dataset | Mapping[str, Any] | None = None,
) -> Trajectory:
    """Make a trajectory of arrays in memory, or of dask arrays.

    Parameters
    ----------
    weights, gradients, buffers
        Arrays by name, each (step, ...). Gradients may have fewer steps than weights: the closing snapshot has none.
    steps
        Optimizer steps of the rows, rising; 0, 1, 2, … by default.
    metrics
        What was measured at each step, (step) each.

    Raises
    ------
    BadSetting
        Something is no array of numbers, or there is not one step for each row.

    Examples
    --------
    >>> run = from_arrays({"w": np.zeros((3, 2, 2))}, steps=[0, 10, 20])
    >>> run.weights["w"].dims
    ('step', 'out', 'in')
    """
    groups = [_arrays(group) for group in (weights, gradients, buffers)]
    measured = _columns(metrics)
    longest = max([array.shape[0] for group in groups for array in group.values()] + [measured.sizes.get("step", 0)])
    known = np.arange(longest) if steps is None else _steps(steps, longest)
    lives = [
        {name: Series(known[: len(array)], array, tuple(array.shape[1:])) for name, array in group.items()}
        for group in groups
    ]
    if "step" not in measured.coords and "step" in measured.dims:
        measured = measured.assign_coords(step=known[: measured.sizes["step"]])
    return Trajectory(
        Tensors(lives[0], attributes_of({}, lives[0])),
        Tensors(lives[1], attributes_of({}, lives[1])),
        Tensors(lives[2]),
        metrics=measured,
    )


def _arrays(group: Mapping[str, Any] | None) -> dict[str, Any]:
    if not isinstance(group, Mapping | None):
        raise BadSetting(f"arrays by name were expected; found a {type(group).__name__}. Give {{name: array}}.")
    for name in group or {}:
        if not isinstance(name, str):
            raise BadSetting(f"names of tensors are text; found {name!r}. Rename it.")
    return {name: _array(name, values) for name, values in (group or {}).items()}


def _array(name: str, values: Any) -> Any:
    """Give the values of one tensor as an array of numpy or dask."""
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu()
            values = values.float() if str(values.dtype) == "torch.bfloat16" else values
        array = values if hasattr(values, "dask") or isinstance(values, np.ndarray) else np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise BadSetting(f"{name} was to be one array over the steps; {error}. Give rows of one shape.") from error
    if array.ndim == 0:
        raise BadSetting(f"{name} was to have a first dim over the steps; it has no dim. Stack the steps first.")
    if array.dtype.kind not in "fiubcV":
        raise BadSetting(f"{name} was to hold numbers; it is {array.dtype}. Leave it out, or give rows of one shape.")
    if np.isnan(array.shape).any():
        raise BadSetting(f"the shape of {name} is not known, {array.shape}. Call its compute_chunk_sizes() first.")
    return array


def _steps(steps: Any, rows: int) -> np.ndarray:
    """Give the steps of some rows."""
    try:
        given = np.asarray(steps)
        known = given.astype(np.int64)
        fit = known.shape == (rows,) and bool((known == given).all()) and bool((np.diff(known) > 0).all())
    except (ValueError, TypeError, OverflowError):
        fit = False
    if not fit:
        raise BadSetting(f"{rows} rising steps were expected; found {steps!r:.200}. Give a whole number for each row.")
    return known


def _columns(metrics: xr.Dataset | Mapping[str, Any] | None) -> xr.Dataset:
    """Give what was measured, (step) each."""
    if metrics is None or isinstance(metrics, xr.Dataset):
        return xr.Dataset() if metrics is None else metrics
    try:
        return xr.Dataset({name: ("step", np.asarray(values)) for name, values in metrics.items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise BadSetting(
            "metrics were to be rows of numbers of the same length by name; "
            f"{' '.join(str(error).split())[:200]}. Give one number for each step."
        ) from error
