"""Changes of tensors from one recorded step to the next, or since the first, as tensors of their own."""

from collections.abc import Callable, Mapping

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.errors import MissingData


def updates_of(
    weight: xr.DataArray | Mapping[str, xr.DataArray],
) -> xr.DataArray | dict[str, xr.DataArray]:
    """Return w_t − w_prev of a tensor, or of many by name, at all recorded steps but the first; lazily.

    Raises
    ------
    MissingData
        No tensor was recorded at two steps.
    """
    return _changes(weight, "updates", lambda data: data[:-1])


def displacements_of(
    weight: xr.DataArray | Mapping[str, xr.DataArray],
) -> xr.DataArray | dict[str, xr.DataArray]:
    """Return w_t − w_0 of a tensor, or of many by name, at all recorded steps but the first; lazily.

    Raises
    ------
    MissingData
        No tensor was recorded at two steps.
    """
    return _changes(weight, "displacements", lambda data: da.broadcast_to(data[:1], (len(data) - 1, *data.shape[1:])))


def _changes(
    weight: xr.DataArray | Mapping[str, xr.DataArray], kind: str, earlier_of: Callable[[da.Array], da.Array]
) -> xr.DataArray | dict[str, xr.DataArray]:
    if isinstance(weight, xr.DataArray):
        return _of_one(weight, kind, earlier_of)
    several = {name: _of_one(array, kind, earlier_of) for name, array in weight.items() if array.sizes["step"] > 1}
    if not several:
        raise MissingData(f"cannot compute {kind}: no tensor was recorded at two steps; record more snapshots")
    return several


def _of_one(array: xr.DataArray, kind: str, earlier_of: Callable[[da.Array], da.Array]) -> xr.DataArray:
    if array.sizes["step"] < 2:
        raise MissingData(f"cannot compute {kind} of {array.name}: it was recorded at one step; record more snapshots")
    data = array.data if isinstance(array.data, da.Array) else da.from_array(array.data, chunks=(1, *array.shape[1:]))
    later, earlier = data[1:], earlier_of(data)
    changes = da.map_blocks(_less, later, earlier.rechunk(later.chunks), dtype=data.dtype, meta=data._meta)
    coords = {str(name): coord.variable for name, coord in array.coords.items() if "step" not in coord.dims}
    coords["step"] = array["step"].variable[1:]
    return xr.DataArray(changes, coords, array.dims, array.name, array.attrs)


def _less(later: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return later - earlier
