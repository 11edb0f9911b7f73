"""Last values of a result, its extremes, and medians over runs."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from trajlab.statistics.roles import APART
from trajlab.statistics.studies import groups

ENOUGH = 100
"""Fewest entries of a tensor whose distribution is compared."""


class Extreme(NamedTuple):
    """A value and the labels of its position, by dim."""

    value: float
    at: dict[str, Any]


def last(array: xr.DataArray, has_value: xr.DataArray | None = None) -> xr.DataArray:
    """Return the last finite value over the steps, without the coords of steps.

    With `has_value`, which marks the steps that have a value, return the last of these, which may be NaN.
    """
    if "step" not in array.dims:
        return array
    has_value = array.copy(data=np.isfinite(array.values)) if has_value is None else has_value
    position = (has_value.sizes["step"] - 1 - has_value.isel(step=slice(None, None, -1)).argmax("step")).compute()
    of_steps = [name for name, coord in array.coords.items() if "step" in coord.dims]
    return array.drop_vars(of_steps).isel(step=position).where(has_value.any("step"))


def extreme(array: xr.DataArray, *, least: bool = False) -> Extreme | None:
    """Return the largest, or least, finite value; None if there is none."""
    values = np.where(np.isfinite(array.values), array.values, np.nan)
    if np.isnan(values).all():
        return None
    flat = int(np.nanargmin(values) if least else np.nanargmax(values))
    where = np.unravel_index(flat, values.shape)
    labels = {str(d): array[d].values[i] if d in array.coords else i for d, i in zip(array.dims, where, strict=True)}
    return Extreme(float(values.flat[flat]), labels)


def typical(array: xr.DataArray) -> xr.DataArray:
    """Return the median over the runs."""
    return array.median("run", keep_attrs=True) if "run" in array.dims else array


def by_group(array: xr.DataArray) -> dict[str, float]:
    """Return the median of each group of runs that differ in their seed only; nothing for a single group.

    Parameters
    ----------
    array
        A value of each run, (run); values that are not finite are left out.
    """
    if "run" not in array.dims:
        return {}
    values_of = {
        name: array.values[positions][np.isfinite(array.values[positions])] for name, positions in groups(array).items()
    }
    medians = {name: float(np.median(values)) for name, values in values_of.items() if len(values)}
    return medians if len(medians) > 1 and len(values_of) < array.sizes["run"] else {}


def in_run(point: Extreme) -> str:
    """Return ' in run `…`' for an extreme; nothing for a single run."""
    return f" in run `{point.at['run']}`" if "run" in point.at else ""


def size_in(sizes: xr.DataArray, point: Extreme) -> float:
    """Return the number of entries of the network; where runs differ, of the run that holds the extreme."""
    return float(sizes.sel({dim: label for dim, label in point.at.items() if dim in sizes.dims}).sum())


def total_of(result: xr.Dataset, name: str) -> xr.DataArray | None:
    """Return a variable of the whole network: its total, or the variable itself if the result is of one tensor."""
    array = result.get(f"total_{name}", result.get(name))
    return None if array is None or {"parameter", "layer"} & set(array.dims) else array


def most_unmoved(result: xr.Dataset) -> Extreme | None:
    """Return the run with the most entries that never changed; None if all changed in every run, or none is known."""
    point = extreme(result["unchanged_cause"].sum(["parameter", "cause"], min_count=1))
    return point if point is not None and point.value > 0 else None


def of_weights(array: xr.DataArray) -> xr.DataArray:
    """Mask biases and norms, unless that leaves none: one that began at zero moves by any multiple of its norm."""
    if "parameter" not in array.dims or "kind" not in array.coords:
        return array
    kinds = array["kind"] if array["kind"].dims == ("parameter",) else array["kind"].isel(run=0, missing_dims="ignore")
    kept = xr.DataArray(~np.isin(kinds.values, APART), dims="parameter")
    return array.where(kept) if bool(array.where(kept).notnull().any()) else array


def large(array: xr.DataArray) -> xr.DataArray:
    """Mask parameters with fewer than `ENOUGH` entries, unless that leaves none."""
    if "parameter" not in array.dims or "numel" not in array.coords:
        return array
    enough = array["numel"] >= ENOUGH
    return array.where(enough) if bool(enough.any()) else array
