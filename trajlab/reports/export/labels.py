"""The labels of each value of a variable."""

import numpy as np
import xarray as xr


def labels_of(array: xr.DataArray) -> dict[str, np.ndarray]:
    """Return the labels of each value of an array, flat, by dim, and those of coords along one dim."""
    labels = {}
    for dim in map(str, array.dims):
        own = array[dim].values if dim in array.coords else np.arange(array.sizes[dim])
        along = {dim: own} | {
            str(name): coord.values for name, coord in array.coords.items() if coord.dims == (dim,) and name != dim
        }
        axis = array.dims.index(dim)
        shape = [1] * array.ndim
        shape[axis] = array.sizes[dim]
        for name, values in along.items():
            labels[name] = np.broadcast_to(values.reshape(shape), array.shape).ravel()
    return labels
