"""Singular values of weight matrices, compared with those of noise."""

from functools import partial

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.kernels.power_law import FACTS
from trajlab.scan.kernels.singular_values import Spectra
from trajlab.scan.scan import Tensor, by_name, scan
from trajlab.statistics.experts import experts_apart
from trajlab.statistics.result import Meaning, annotate, columns_of

MEANINGS = {
    "singular_values": Meaning("singular value", "weight", "square roots of the eigenvalues of WᵀW, descending"),
    "spectral_norm": Meaning("spectral norm", "weight", "s₁, the largest singular value"),
    "frobenius_norm": Meaning("Frobenius norm", "weight", "sqrt(Σs²)"),
    "stable_rank": Meaning("stable rank", "1", "Σs² / s₁²"),
    "effective_rank": Meaning("effective rank", "1", "exp(−Σ p ln p), p = s/Σs"),
    "mp_lower": Meaning(
        "lower edge of noise", "weight", "σ(√n − √m): Marchenko–Pastur, as a singular value; m ≤ n the two sizes of W"
    ),
    "mp_upper": Meaning(
        "upper edge of noise", "weight", "σ(√n + √m): Marchenko–Pastur, as a singular value; m ≤ n the two sizes of W"
    ),
    "mp_threshold": Meaning(
        "largest singular value of noise",
        "weight",
        "99 % quantile of s₁ of noise of variance σ²: Tracy–Widom about mp_upper",
    ),
    "mp_spikes": Meaning("singular values beyond noise", "1", "count of s > mp_threshold"),
    "alpha": Meaning(
        "exponent of the tail", "1", "of the density λ^−alpha of the n eigenvalues λ = s² ≥ xmin: 1 + n/Σ ln(λ/xmin)"
    ),
    "alpha_sigma": Meaning(
        "σ of the exponent of the tail at fixed xmin",
        "1",
        "(alpha − 1)/√n, of the maximum likelihood estimate for independent λ; without the choice of xmin",
    ),
    "xmin": Meaning(
        "smallest eigenvalue of the tail", "weight²", "the λ that minimizes max|F(λ−) − fit(λ)|, F just below each λ"
    ),
    "ks": Meaning(
        "distance of the tail from its power law",
        "1",
        "two-sided Kolmogorov–Smirnov distance max(D⁺, D⁻): max|F(λ) − fit(λ)| over all λ ≥ xmin, F before and after "
        "each step",
    ),
    "nonfinite": Meaning("entries that are NaN or Inf", "entries", "count; all else is NaN where it is above 0"),
}
NULLS = ("spectral_norm", "stable_rank", "effective_rank", "mp_spikes", "alpha")
"""Quantities that are also computed of the shuffled matrix."""
for _name in NULLS:
    _meaning = MEANINGS[_name]
    MEANINGS[f"{_name}_null"] = Meaning(
        f"{_meaning.long_name}, shuffled", _meaning.units, f"{_meaning.definition}, of the same entries in random order"
    )


def spectrum(weight: Tensor, *, every: int = 1, shuffle: bool = True) -> xr.Dataset:
    """Singular values of each matrix: how many exceed those of noise, its rank, and the exponent of its tail.

    Answers: has this layer learned structure, of which rank, and more than noise would show?

    Parameters
    ----------
    weight
        One parameter over training, dims (step, row, ...), or a mapping of several.
    every
        Analyze every n-th recorded step, and the last.
    shuffle
        Whether to analyze each matrix with shuffled entries, too, which doubles the time.

    Returns
    -------
    singular_values : (step, parameter, component)
        Singular values, descending; rows of matrices with fewer end in NaN.
    spectral_norm, frobenius_norm, stable_rank, effective_rank : (step, parameter)
        Norms, and the number of directions that share them.
    mp_lower, mp_upper, mp_threshold, mp_spikes : (step, parameter)
        Marchenko–Pastur edges as singular values, the 99 % quantile of the largest singular value of noise, and the
        number of singular values above it.
    alpha, alpha_sigma, xmin, ks : (step, parameter)
        Power-law fit of the largest eigenvalues λ = s² of WᵀW. `alpha_sigma` is σ of the maximum likelihood estimate
        for a given xmin, no standard error of `alpha`.
    spectral_norm_null, stable_rank_null, effective_rank_null, mp_spikes_null, alpha_null : (step, parameter)
        The same for the matrix with its entries in a fixed random order, which keeps the values and destroys their
        arrangement.
    nonfinite : (step, parameter)
        Entries that are NaN or Inf; at steps with any, all else is NaN.

    Tensors with more than two dims are matrices of the first by all others: convolutions [out, in·height·width].
    A tensor of all experts of a mixture, (expert, out, in), is a matrix for each, named ``experts.up_proj[3]``, and the
    coord `expert` numbers it. Vectors and scalars are excluded; the attr `not_matrices` names them.

    Raises
    ------
    MissingData
        The run has no matrix.
    BadSetting
        `every` is below 1.

    Notes
    -----
    All is computed in float64; the relative error of singular values is at most 1e-9. Each matrix is decomposed alone.
    BLAS may still round differently from run to run, so that numbers agree within 1e-12, not bit by bit.

    The variance σ² of the noise is the mean square of the matrix without the singular values beyond noise,
    Σ_{i>k} s_i² / ((m−k)(n−k)), where k = mp_spikes, found by iteration from k = 0. The largest singular value of a
    large noise matrix tends to `mp_upper`; that of a finite one exceeds it in one of six cases, so `mp_spikes` counts
    above `mp_threshold`. Matrices with a non-zero mean or heavy-tailed entries exceed it without other structure:
    `mp_spikes_null` shows the latter.

    Singular values that rounding alone may have made count as zero, for `mp_spikes` and `alpha`: those below
    s₁ · n · 2⁻⁵² or 4 ε ‖W‖ (1/√m + 1/√n), where ε is the spacing at 1 of the floats that W was stored in (float32
    1.2e-7, float16 9.8e-4, bfloat16 7.8e-3). This is 14 times the largest singular value of the rounding of independent
    entries.

    `alpha` is unreliable for 20 eigenvalues or fewer. In noise it varies by two to three times `alpha_sigma`, as xmin
    varies as well and eigenvalues repel each other. WeightWatcher computes the same exponent and σ from 20 eigenvalues
    on; below that it corrects a bias, and it splits a convolution into one matrix for each kernel position. It and
    powerlaw take the distance on one side only, just below each eigenvalue, so that theirs is up to 1/n smaller
    than `ks`, for a tail of n.

    References
    ----------
    Effective rank: Roy and Vetterli 2007, EUSIPCO. Stable rank: Rudelson and Vershynin 2007, arXiv:math/0503442.
    Edges: Marchenko and Pastur 1967; quantiles: Johnstone and Ma 2012, Ann. Statist. 40, 1962, with Bejan's table.
    Tail: Clauset et al. 2009, arXiv:0706.1062; of weights: Martin and Mahoney 2021, arXiv:1810.01075.
    """
    if every < 1:
        raise BadSetting(f"cannot use every={every}: choose 1 or more")
    tensors = experts_apart(by_name(weight))
    matrices = {name: _thinned(array, every) for name, array in tensors.items() if array.ndim > 2}
    vectors = [name for name in tensors if name not in matrices]
    if not matrices:
        raise MissingData(
            f"cannot compute singular values: {', '.join(filter(None, vectors)) or 'the tensors'} are vectors or "
            "scalars; name a run with matrices"
        )
    shapes = {name: (array.shape[1], int(np.prod(array.shape[2:]))) for name, array in matrices.items()}
    kernel = Spectra(max(min(shape) for shape in shapes.values()), shuffle)
    table, _ = scan(kernel, matrices[""] if list(matrices) == [""] and isinstance(weight, xr.DataArray) else matrices)
    sizes = np.array(list(shapes.values())) if table.ndim == 3 else np.array(shapes[""])
    table = table.assign_coords({name: (table.dims[:-2], sizes[..., i]) for i, name in enumerate(("rows", "columns"))})
    numbers = [array.attrs.get("expert", -1) for array in matrices.values()]
    if max(numbers) >= 0:
        table = table.assign_coords(expert=("parameter", numbers, {"long_name": "expert, -1 for others"}))
    result = as_one_task(partial(_result, shuffle=shuffle), table)
    return annotate(result, MEANINGS, every=every, not_matrices=", ".join(vectors))


def _thinned(array: xr.DataArray, every: int) -> xr.DataArray:
    if every == 1:
        return array
    last = array.sizes["step"] - 1
    return array.isel(step=np.unique([*range(0, last + 1, every), max(last, 0)]) if last >= 0 else slice(0))


def _result(table: xr.DataArray, *, shuffle: bool) -> xr.Dataset:
    names = ["nonfinite", *FACTS, *(f"{name}_null" for name in NULLS if shuffle)]
    facts = columns_of(table.sel(column=names))
    first = 1 + 2 * len(FACTS)
    values = table.isel(column=slice(first, None)).drop_vars("pooling").rename(column="component")
    component = ("component", np.arange(1, values.sizes["component"] + 1), {"long_name": "component", "units": "1"})
    return facts.assign(singular_values=values.assign_coords(component=component))[["singular_values", *names]]
