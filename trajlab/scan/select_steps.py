"""Select steps of tensors such that what is read in tiles stays so."""

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.runs.disk.lazy import lazy, rows_of


def select_steps(array: xr.DataArray, positions: slice | list[int] | np.ndarray) -> xr.DataArray:
    """Return a tensor at some of its recorded steps, as `isel` does.

    Of what `isel` returns only whole tensors can be read; here the rows on disk are selected.

    Parameters
    ----------
    array
        The tensor, dims (step, …).
    positions
        Positions of the steps, or a mask of them, (step).
    """
    selected = array.isel(step=positions)
    rows = rows_of(array.data) if isinstance(array.data, da.Array) and array.dims[:1] == ("step",) else None
    if rows is None:
        return selected
    if isinstance(positions, list):
        positions = np.array(positions, None if positions else np.intp)
    return selected.copy(data=lazy(rows[positions]))
