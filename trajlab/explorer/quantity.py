"""Parts of the variables of results: which run, which rows, which label of every other dim."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from trajlab.figures.marks.selection import describe, usual

ROWS = ("parameter", "layer")
"""Dims of rows."""


def row_dim(array: xr.DataArray | xr.Dataset) -> str:
    """Return the dim of the rows of a variable; empty if it is of the whole network."""
    return next((dim for dim in ROWS if dim in array.dims), "")


def is_map(array: xr.DataArray) -> bool:
    """Return whether a variable is a number for each step and row."""
    return array.dtype.kind in "fiub" and "step" in array.dims and bool(row_dim(array)) and array.sizes["step"] > 0


def maps_of(result: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the variables that a heat map can show: those with the fewest dims first, errors and nulls last."""
    arrays = {str(name): array for name, array in result.data_vars.items() if is_map(array)}
    return dict(sorted(arrays.items(), key=lambda item: (_is_aside(item[0]), len(free_dims(item[1])))))


def _is_aside(name: str) -> bool:
    return name.endswith(("_se", "_null", "_null_95", "_walk", "_coin")) or name == "nonfinite"


def free_dims(array: xr.DataArray) -> list[str]:
    """Return the dims besides run, step and rows; a view shows one label of each."""
    return [str(dim) for dim in array.dims if dim not in ("run", "step", *ROWS)]


def labels_of(array: xr.DataArray, dim: str) -> dict[str, int]:
    """Return the positions of the labels of a dim by their text.

    >>> labels_of(xr.DataArray([1, 2], {"tau": [0.1, 0.01]}, "tau"), "tau")
    {'|g| ≤ 0.1': 0, '|g| ≤ 0.01': 1}
    """
    texts = {}
    for position in range(array.sizes[dim]):
        part = array.isel({dim: position})
        text = describe(dim, part[dim].item(), part) if dim in array.coords else f"{dim} {position}"
        texts[text if text not in texts else f"{text} ({position})"] = position
    return texts


def chosen(array: xr.DataArray, at: Mapping[str, str], *, keep: tuple[str, ...] = ()) -> dict[str, int]:
    """Return the position of each free dim: that of its label in `at`, else the usual one."""
    positions = {}
    for dim in free_dims(array):
        if dim not in keep:
            positions[dim] = labels_of(array, dim).get(at.get(dim, ""), usual(array, dim))
    return positions


def of_run(array: xr.DataArray, run: str) -> xr.DataArray | None:
    """Return the part of a run; None if the result lacks it."""
    if "run" not in array.dims:
        return array
    position = np.flatnonzero(array["run"].values.astype(str) == run)
    return array.isel(run=int(position[0])) if len(position) else None


def numbers(array: xr.DataArray) -> np.ndarray:
    """Return values as floats."""
    return np.asarray(array.values, np.float64)


def text_of(value: Any) -> str:
    """Write a fact as a table shows it."""
    if isinstance(value, float | np.floating):
        return f"{value:g}"
    return "" if value is None else str(value)
