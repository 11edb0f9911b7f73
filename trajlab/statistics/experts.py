"""Mixtures of experts: a parameter that holds all experts as one matrix for each."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from trajlab.runs.disk.lazy import lazy, rows_of
from trajlab.runs.disk.rows import Rows

EXPERT = "expert"


def has_experts(array: xr.DataArray) -> bool:
    """Return whether a parameter holds all experts of a mixture, (step, expert, …)."""
    return array.dims[1:2] == (EXPERT,)


def experts_apart(tensors: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """Return tensors with those of all experts replaced by one for each, named ``experts.up_proj[3]``; lazily.

    The number of the expert is in the attr `expert`.
    """
    apart: dict[str, xr.DataArray] = {}
    for name, array in tensors.items():
        experts = range(array.sizes[EXPERT]) if has_experts(array) else None
        apart |= {name: array} if experts is None else {f"{name}[{i}]": expert_of(array, i) for i in experts}
    return apart


def expert_of(array: xr.DataArray, expert: int) -> xr.DataArray:
    """Return the matrix of one expert, (step, …); of a table of rows on disk, only its bytes are read."""
    some = array.isel({EXPERT: expert})
    rows = rows_of(array.data) if array.chunks else None
    if rows is not None:
        offset = rows.offset + expert * int(np.prod(rows.shape[1:])) * rows.stored.itemsize
        some = some.copy(data=lazy(Rows(rows.files, rows.file, offset, rows.shape[1:], rows.stored)))
    axes = [axis for axis, dim in enumerate(some.dims[1:]) if dim == "out"]
    return some.assign_attrs(shape=list(some.shape[1:]), unit_axes=axes or [0], expert=expert)
