"""Mixtures of experts: a parameter that holds all experts as one matrix for each."""

import re
from collections import defaultdict
from collections.abc import Mapping

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.runs.disk.lazy import lazy, rows_of
from trajlab.runs.disk.rows import Rows

EXPERT = "expert"

RENAMED = {"block_sparse_moe": "mlp"}
"""Names of mixtures in checkpoints, and their names in networks of transformers."""


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


def named_as_in_networks(name: str) -> str:
    """Return the name that a parameter in a checkpoint of a mixture has in networks of transformers.

    >>> named_as_in_networks("model.layers.0.block_sparse_moe.gate.weight")
    'model.layers.0.mlp.gate.weight'
    """
    return ".".join(RENAMED.get(part, part) for part in name.split("."))


def experts_together(tensors: Mapping[str, xr.DataArray]) -> dict[str, dict[str, xr.DataArray]]:
    """Return the experts of each mixture, (step, expert, …), by the path of the mixture and part of an expert; lazily.

    All experts may be one parameter, ``mlp.experts.up_proj``, or each its own, ``mlp.experts.3.up_proj.weight``. The
    latter are joined at the steps at which all were recorded; parts whose shapes differ between experts are left out.
    """
    mixtures: dict[str, dict[str, xr.DataArray]] = defaultdict(dict)
    apart: dict[tuple[str, str], dict[int, xr.DataArray]] = defaultdict(dict)
    for name, array in tensors.items():
        mixture, separator, part = named_as_in_networks(name).partition(".experts.")
        single = re.fullmatch(r"(\d+)\.(.+)", part)
        if separator and has_experts(array):
            mixtures[mixture][part] = array
        elif separator and single:
            apart[mixture, single[2].removesuffix(".weight")][int(single[1])] = array
    for (mixture, part), experts in apart.items():
        arrays = [experts[number] for number in sorted(experts)]
        if len({array.shape[1:] for array in arrays}) > 1:
            continue
        steps = arrays[0]["step"].values
        for array in arrays[1:]:
            steps = np.intersect1d(steps, array["step"].values)
        data = [da.asarray(array.sel(step=steps).data) for array in arrays]
        stacked = da.stack([each.rechunk({0: 1} | dict.fromkeys(range(1, each.ndim), -1)) for each in data], axis=1)
        stacked = stacked.rechunk({0: 1} | dict.fromkeys(range(1, stacked.ndim), -1))
        mixtures[mixture][part] = xr.DataArray(stacked, {"step": steps}, ("step", EXPERT, *arrays[0].dims[1:]))
    return dict(mixtures)
