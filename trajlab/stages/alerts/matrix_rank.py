"""Effective and stable rank of matrices over training."""

import dask.array as da
import numpy as np
import xarray as xr

from trajlab import sizes
from trajlab.scan.graph import map_blocks
from trajlab.scan.kernels.power_law import effective_rank
from trajlab.scan.kernels.singular_values import singular_values

MEASURES = ("effective", "stable")


def rank_table(array: xr.DataArray, measure: str) -> xr.DataArray:
    """Return the rank of a parameter at each step, (step), lazily; a convolution is flattened to [out, in·kh·kw].

    Parameters
    ----------
    array
        One parameter over training, dims (step, out, in, …).
    measure
        Which of `MEASURES`.
    """
    array = array.transpose("step", ...)
    data = array.data if array.chunks else da.from_array(array.values, chunks=-1)
    row = max(1, int(np.prod(array.shape[1:], dtype=np.int64)) * data.dtype.itemsize)
    whole = data.rechunk({0: max(1, sizes.BLOCK_BYTES // row)} | dict.fromkeys(range(1, data.ndim), -1))
    ranks = map_blocks(
        _ranks, whole, measure, drop_axis=list(range(1, data.ndim)), chunks=(whole.chunks[0],), meta=np.empty(0)
    )
    return xr.DataArray(ranks.rechunk(-1), {"step": array["step"].variable}, ("step",), array.name)


def _ranks(matrices: np.ndarray, measure: str) -> np.ndarray:
    return np.array([rank(matrix.reshape(len(matrix), -1), measure) for matrix in matrices])


def rank(matrix: np.ndarray, measure: str) -> float:
    """Return the effective rank exp(−Σ p ln p), p = s/Σs, or the stable rank Σs²/max s², of singular values s.

    A matrix of zeros has rank NaN, 0/0.

    References
    ----------
    Roy and Vetterli 2007, The effective rank; Rudelson and Vershynin 2007, arXiv:math/0503442.

    Examples
    --------
    >>> round(rank(np.eye(3), "effective"), 9), float(rank(np.diag([2.0, 1.0]), "stable"))
    (3.0, 1.25)
    """
    wide = matrix.astype(np.float64)
    if wide.size == 0 or not np.isfinite(wide).all():
        return np.nan
    wide = np.ldexp(wide, -np.frexp(abs(wide).max())[1])  # exact, and squares stay in the range of float64
    values = singular_values(wide)
    if measure == "effective":
        return float(effective_rank(values))
    with np.errstate(invalid="ignore"):
        return float((values**2).sum() / values[0] ** 2)
