"""Exponential moving averages of tensors over the recorded steps, as tensors of their own."""

from collections.abc import Mapping
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.scan.graph import delayed


def averaged(
    tensors: xr.DataArray | Mapping[str, xr.DataArray], decay: float
) -> xr.DataArray | dict[str, xr.DataArray]:
    """Return m̂_t = m_t/(1 − βᵗ), m_t = β m_{t−1} + (1 − β) g_t, of a tensor or of many by name; lazily.

    This is Adam's first moment (Kingma and Ba 2015, arXiv:1412.6980), over the recorded steps; t counts these from 1.
    NaN and Inf stay, as they do in Adam.

    Parameters
    ----------
    tensors
        Tensors over training, dims (step, ...).
    decay
        β, from 0 to below 1; 0 is the tensor itself.

    Raises
    ------
    BadSetting
        β is out of range.

    Examples
    --------
    >>> series = xr.DataArray(np.array([[1.0], [3.0]]), {"step": [0, 1]}, ("step", "out"))
    >>> averaged(series, 0.5).values.ravel()
    array([1.        , 2.33333333])
    """
    if not 0 <= decay < 1:
        raise BadSetting(f"cannot average with average={decay}: choose a decay from 0 to below 1, such as 0.9")
    if isinstance(tensors, xr.DataArray):
        return _of_one(tensors, decay)
    return {name: _of_one(array, decay) for name, array in tensors.items()}


def _of_one(array: xr.DataArray, decay: float) -> xr.DataArray:
    if decay == 0 or not array.sizes["step"]:
        return array
    data = array.data if isinstance(array.data, da.Array) else da.from_array(array.data, chunks=-1)
    data = data.rechunk(dict.fromkeys(range(1, data.ndim), -1))
    state, blocks, first = None, [], 0
    for block in (data.blocks[position] for position in range(data.numblocks[0])):
        both: Any = delayed(_block)(state, block, decay, first)
        blocks.append(da.from_delayed(both[0], block.shape, data.dtype, meta=data._meta))
        state, first = both[1], first + block.shape[0]
    return array.copy(data=da.concatenate(blocks))


def _block(state: np.ndarray | None, values: np.ndarray, decay: float, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Average the rows of a block after `first` others; return them, and the moment after the last."""
    out = np.empty_like(values)
    moment = np.zeros(values.shape[1:]) if state is None else state.copy()
    with np.errstate(all="ignore"):
        for row, value in enumerate(values):
            moment *= decay
            moment += (1.0 - decay) * value.astype(np.float64)
            out[row] = moment / (1.0 - decay ** (first + row + 1))
    return out, moment
