"""Singular values of weight matrices, compared with those of noise."""

from functools import partial

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.kernels.power_law import FACTS
from trajlab.scan.kernels.singular_values import operations
from trajlab.scan.kernels.spectra import ERRORS, OVERLAPS, Spectra
from trajlab.scan.kernels.subspaces import subspace_size
from trajlab.scan.scan import Tensor, by_name, scan
from trajlab.scan.select_steps import select_steps
from trajlab.statistics.experts import experts_apart
from trajlab.statistics.result import Meaning, annotate, columns_of
from trajlab.statistics.updates import displacements_of, updates_of

OF = {"weights": None, "updates": updates_of, "drift": displacements_of}
"""Values of the setting `of`, and what makes the matrices of the weights."""

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
    "singular_values_error": Meaning(
        "bound of the error of the singular values", "weight", "no listed singular value is off by more"
    ),
    "effective_rank_error": Meaning(
        "standard error of the estimated effective rank", "1", "over random vectors; 0 where all s are known"
    ),
    "row_overlap": Meaning(
        "overlap of the row subspaces of neighboring steps", "1", "Σ cos²θ_i / k, θ_i between U_k(t) and U_k(t_prev)"
    ),
    "column_overlap": Meaning(
        "overlap of the column subspaces of neighboring steps", "1", "Σ cos²θ_i / k, θ_i between V_k(t) and V_k(t_prev)"
    ),
    "row_overlap_start": Meaning(
        "overlap of the row subspaces with the start", "1", "Σ cos²θ_i / k, θ_i between U_k(t) and U_k(t_0)"
    ),
    "column_overlap_start": Meaning(
        "overlap of the column subspaces with the start", "1", "Σ cos²θ_i / k, θ_i between V_k(t) and V_k(t_0)"
    ),
    "row_overlap_null": Meaning(
        "overlap of random row subspaces", "1", "k / rows, the mean over random subspaces of dim k"
    ),
    "column_overlap_null": Meaning(
        "overlap of random column subspaces", "1", "k / columns, the mean over random subspaces of dim k"
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


def spectrum(
    weight: Tensor,
    *,
    of: str = "weights",
    every: int = 1,
    shuffle: bool = True,
    subspace: int = 10,
    exact_size: int = 4096,
    leading: int = 64,
) -> xr.Dataset:
    """Singular values of each matrix: how many exceed those of noise, its rank, and the exponent of its tail.

    Answers: has this layer learned structure beyond noise, and of what rank? Are its updates of low rank, and do its
    main directions stay?

    Parameters
    ----------
    weight
        One parameter over training, dims (step, row, ...), or a mapping of several.
    of
        Matrices: "weights", "updates", w_t − w_prev between analyzed steps, or "drift", w_t − w_0 since the first
        recorded one. Changes have no first step.
    every
        Analyze every n-th recorded step, and the last.
    shuffle
        Whether to analyze each matrix with shuffled entries, too, which doubles the time.
    subspace
        Dim k of the subspaces of the largest singular values that are compared between steps; at most half of the
        smaller side of a matrix; 0 for none.
    exact_size
        Smaller side of a matrix up to which all of its singular values are computed.
    leading
        Singular values that are computed of larger ones.

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
    singular_values_error, effective_rank_error : (step, parameter)
        Bound of the error of the singular values, and the standard error of the effective rank of large matrices.
    row_overlap, column_overlap, row_overlap_start, column_overlap_start : (step, parameter)
        Overlap of the subspaces of the k largest singular values with those at the analyzed step before, and at the
        first: the mean cos² of the principal angles, of the left singular vectors (rows) and the right ones (columns).
        1 says that they are the same. NaN at the first step, and where the k-th singular value is 0 within rounding.
    row_overlap_null, column_overlap_null : (parameter)
        The mean overlap of random subspaces of dim k, which the coord `subspace_size` holds.
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
        `every`, `exact_size` or `leading` is below 1, `subspace` below 0, or `of` unknown.

    Notes
    -----
    Up to `exact_size`, singular values are the roots of the eigenvalues of the smaller Gram matrix in float64. With n
    its size, they are off by at most √n 2⁻⁵² s₁²/s, and by no more than n^¼ 2⁻²⁶ s₁; the rounding of entries stored in
    float32 or less moves them further. Matrices stored in float64 are decomposed where that would lose digits.

    Of larger matrices, which the attr `approximated` names, a randomized block Krylov method computes up to `leading`
    singular values. Those whose bound is above a thousandth of them are NaN, and so is what needs all of them: `alpha`,
    `alpha_sigma`, `xmin` and `ks`; `mp_spikes` and the edges as well, if all that are known are beyond noise. The
    effective rank is estimated by stochastic Lanczos quadrature beside the known ones. Norms and the stable rank are
    exact within the bound.

    The attr `operations` says about how many floating-point operations all takes; a core does some 2·10¹⁰ a second.

    Each matrix is decomposed alone. BLAS may still round differently from run to run, so that numbers agree closely,
    not bit by bit. Where the k-th and the next singular value are close, as in noise, small changes turn the subspace:
    a low overlap says little then.

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
    Largest singular values: Musco and Musco 2015, arXiv:1504.05477; quadrature: Ubaru, Chen and Saad 2017, SIAM J.
    Matrix Anal. 38, 1075. Principal angles: Björck and Golub 1973, Math. Comp. 27, 579.
    Tail: Clauset et al. 2009, arXiv:0706.1062; of weights: Martin and Mahoney 2021, arXiv:1810.01075.
    """
    if min(every, exact_size, leading) < 1 or subspace < 0:
        raise BadSetting(
            f"cannot use every={every}, exact_size={exact_size}, leading={leading} and subspace={subspace}: choose 1 "
            "or more, and a subspace of 0 or more"
        )
    if of not in OF:
        raise BadSetting(f"cannot compute the spectrum of={of!r}: choose {', '.join(OF)}")
    tensors = experts_apart(by_name(weight))
    matrices = {name: _thinned(array, every) for name, array in tensors.items() if array.ndim > 2}
    vectors = [name for name in tensors if name not in matrices]
    if not matrices:
        raise MissingData(
            f"cannot compute singular values: {', '.join(filter(None, vectors)) or 'the tensors'} are vectors or "
            "scalars; name a run with matrices"
        )
    change = OF[of]
    stored, matrices = matrices, matrices if change is None else by_name(change(matrices))
    shapes = {name: (array.shape[1], int(np.prod(array.shape[2:]))) for name, array in matrices.items()}
    large = [name for name, shape in shapes.items() if min(shape) > exact_size]
    width = max(min(shape) if name not in large else leading for name, shape in shapes.items())
    most = max(array.sizes["step"] for array in matrices.values()) if subspace else 0
    kernel = Spectra(width, shuffle, exact_size, leading, subspace, most, change is not None)
    alone = list(matrices) == [""] and isinstance(weight, xr.DataArray)
    table, summary = scan(
        kernel,
        matrices[""] if alone else matrices,
        weight=None if change is None else stored[""] if alone else stored,
    )
    steps = [np.searchsorted(table["step"].values, array["step"].values) for array in matrices.values()]
    sizes = np.array(list(shapes.values()), np.int64)
    spaces = np.array([subspace_size(*shape, subspace) for shape in shapes.values()]) if subspace else None
    coords = {"rows": sizes[:, 0], "columns": sizes[:, 1]} | ({} if spaces is None else {"subspace_size": spaces})
    table = table.assign_coords(
        {name: (table.dims[:-2], values[0] if table.ndim == 2 else values) for name, values in coords.items()}
    )
    numbers = [array.attrs.get("expert", -1) for array in matrices.values()]
    if max(numbers) >= 0:
        table = table.assign_coords(expert=("parameter", numbers, {"long_name": "expert, -1 for others"}))
    result = as_one_task(partial(_result, shuffle=shuffle, steps=steps), table, *([summary] if subspace else []))
    times = sum(
        array.sizes["step"] * operations(*shapes[name], exact_size) * (1 + shuffle) for name, array in matrices.items()
    )
    attrs = {"approximated": ", ".join(large)} if large else {}
    return annotate(result, MEANINGS, every=every, of=of, not_matrices=", ".join(vectors), operations=times, **attrs)


def _thinned(array: xr.DataArray, every: int) -> xr.DataArray:
    if every == 1:
        return array
    last = array.sizes["step"] - 1
    return select_steps(array, np.unique([*range(0, last + 1, every), max(last, 0)]) if last >= 0 else slice(0))


def _result(
    table: xr.DataArray, overlaps: xr.DataArray | None = None, *, shuffle: bool, steps: list[np.ndarray]
) -> xr.Dataset:
    names = ["nonfinite", *FACTS, *(f"{name}_null" for name in NULLS if shuffle), *ERRORS]
    facts = columns_of(table.sel(column=names))
    if overlaps is not None:
        dims = table.dims[:-1]
        for name, values in zip(OVERLAPS, _at_steps(overlaps.values, table.sizes["step"], steps), strict=True):
            facts[name] = (dims, values if "parameter" in dims else values[0])
        for side in ("row", "column"):
            facts[f"{side}_overlap_null"] = facts["subspace_size"] / np.maximum(facts[f"{side}s"], 1)
    first = 1 + 2 * len(FACTS) + len(ERRORS)
    values = table.isel(column=slice(first, None)).drop_vars("pooling").rename(column="component")
    component = ("component", np.arange(1, values.sizes["component"] + 1), {"long_name": "component", "units": "1"})
    values = values.assign_coords(component=component)
    return facts.assign(singular_values=values)[["singular_values", *(name for name in facts if name in MEANINGS)]]


def _at_steps(summary: np.ndarray, count: int, steps: list[np.ndarray]) -> np.ndarray:
    """Return the overlaps of each matrix, in the order of its own steps, at its steps among all of them.

    Parameters
    ----------
    summary
        (parameter, step and overlap), or of one matrix.
    count
        Number of all steps.
    steps
        Positions of each matrix' steps among them.

    Returns
    -------
    (overlap, parameter, step), NaN where a matrix was not recorded.
    """
    by_step = summary.reshape(len(steps), -1, len(OVERLAPS))
    out = np.full((len(OVERLAPS), len(steps), count), np.nan)
    for i, at in enumerate(steps):
        out[:, i, at] = by_step[i, : len(at)].T
    return out
