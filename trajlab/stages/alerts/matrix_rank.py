"""Effective or stable rank of matrices over training."""

import math
from collections.abc import Mapping

import xarray as xr

from trajlab.scan.kernels.singular_values import operations
from trajlab.scan.kernels.spectra import Spectra
from trajlab.scan.scan import scan
from trajlab.scan.select_steps import select_steps
from trajlab.statistics.shown_steps import evenly

MEASURES = ("effective", "stable")


def matrices_of(weights: Mapping[str, xr.DataArray], most_steps: int) -> dict[str, xr.DataArray]:
    """Return the matrices among tensors, at evenly spaced steps, the first and the last included.

    Parameters
    ----------
    weights
        Parameters by name, dims (step, out, in, …).
    most_steps
        Most steps.
    """
    return {
        name: select_steps(array, evenly(array.sizes["step"], most_steps))
        for name, array in weights.items()
        if array.ndim > 2 and math.prod(array.shape[1:]) > 0
    }


def rank_table(matrices: Mapping[str, xr.DataArray], measure: str) -> xr.DataArray:
    """Return the rank of each matrix at each of its steps, (parameter, step), lazily, from the path of `spectrum`.

    A convolution is flattened to [out, in·kh·kw]. A matrix of zeros has rank NaN, 0/0.

    Parameters
    ----------
    matrices
        Matrices by name, dims (step, out, in, …).
    measure
        Which of `MEASURES`: exp(−Σ p ln p), p = s/Σs, or Σs²/max s², of singular values s.
    """
    table, _ = scan(Spectra(0, shuffle=False), matrices)
    return table.sel(column=f"{measure}_rank", drop=True).drop_vars("pooling", errors="ignore")


def rank_operations(matrices: Mapping[str, xr.DataArray]) -> float:
    """Return about how many floating-point operations the ranks of matrices take."""
    return sum(
        array.sizes["step"] * operations(array.shape[1], math.prod(array.shape[2:])) for array in matrices.values()
    )
