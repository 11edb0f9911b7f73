"""The norm of each tensor."""

import xarray as xr


def norm(weight: xr.DataArray, *, order: float = 2.0) -> xr.DataArray:
    """Compute the norm of each tensor.

    Answers: how large is each layer?

    Parameters
    ----------
    weight
        One parameter over training, dims (step, ...).
    order
        Order of the norm.
    """
    entries = weight.chunk({dim: -1 for dim in weight.dims[1:]}).astype("float64")
    return (abs(entries) ** order).sum(entries.dims[1:], skipna=False) ** (1 / order)
