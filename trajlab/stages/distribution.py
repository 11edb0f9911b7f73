"""How the values of each tensor are distributed, and how the distribution shifts."""

from collections.abc import Sequence
from functools import partial

import xarray as xr

from trajlab.errors import BadSetting
from trajlab.scan.as_one_task import as_one_task
from trajlab.scan.kernels.distribution import EXACT, GROUPS, Distribution
from trajlab.scan.kernels.moment_errors import MOMENT_ERRORS, MomentErrors
from trajlab.scan.kernels.moments import Moments
from trajlab.scan.scan import Tensor, at_step, scan
from trajlab.statistics.distributions import (
    DISTANCES,
    closed,
    described,
    distribution_parts,
    pooled,
    quantities_of,
    shift_meanings,
)
from trajlab.statistics.result import REFERENCE, Meaning, Sums, annotate, columns_of, stride
from trajlab.statistics.shared_steps import totals_over
from trajlab.statistics.standard_errors import moment_errors, root_error, scan_errors, with_errors
from trajlab.statistics.updates import updates_of

OF = ("values", "updates")
"""What may be distributed."""

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

_BOUND = "; the error bound for tensors that are not sorted is in the attrs of the result"
MEANINGS = described("w", _BOUND) | shift_meanings(
    {"": (REFERENCE, "0"), "_prev": ("the snapshot before", "prev")}, _BOUND
)
_CHANCE = {
    "wasserstein": "sqrt(2/π · c) ∫ sqrt(F(1 − F)), c = (1/n + 1/m)(n + m)/(n + m − 1), F of both rows together",
    "ks": "sqrt(c) times the mean of max|B(F)|, B a Brownian bridge, F of both rows together",
    "js": "root of the mean divergence if the entries of each bin are dealt out anew, less that of its variance",
    "psi": "mean over counts drawn by chance in bins with as many entries of F_{anchor}; about (K − 1)(1/n + 1/m)",
}
for _name, _definition in _CHANCE.items():
    MEANINGS[f"{_name}_null"] = Meaning(
        f"{DISTANCES[_name].long_name} by chance", DISTANCES[_name].units, _definition.replace("{anchor}", "0")
    )
for _name, _equal in zip(GROUPS, ("≠", "="), strict=True):
    MEANINGS[f"histogram_{_name}"] = Meaning(
        f"{_name} entries in a bin",
        "entries",
        f"count of the entries with bits(w_t) {_equal} bits(w_0) between two bin_edges",
    )
for _name in ("mean", "std"):
    MEANINGS[f"{_name}_se"] = Meaning(
        f"standard error of the {MEANINGS[_name].long_name}", "value", "0 if all entries are recorded"
    )


def distribution(
    weight: Tensor,
    parent_weight: Tensor | None = None,
    *,
    of: str = "values",
    reference: int = 0,
    bins: int = 64,
    quantiles: Sequence[float] = QUANTILES,
    changed: bool = False,
) -> xr.Dataset:
    """How the values of each tensor, or its updates, are distributed, and how far the distribution shifted.

    Answers: did the weights spread out, grow tails or collapse, and when? Serves gradients and activations too.

    Parameters
    ----------
    weight
        One parameter over training, dims (step, ...), or a mapping of several.
    parent_weight
        The same of another run; shifts are then taken from its weights.
    of
        "values", or "updates", w_t − w_prev between recorded steps; the coord `stride` counts the optimizer steps
        between these.
    reference
        Step that shifts are taken from; 0 is the first one recorded, -1 the last.
    bins
        Number of bins of the histogram.
    quantiles
        Which quantiles, each from 0 to 1.
    changed
        Whether to add the histograms of the entries whose bits differ from the reference, and of the others.

    Returns
    -------
    mean, std, skewness, excess_kurtosis, min, max : (step, parameter)
        Moments and extremes.
    quantiles : (step, parameter, quantile)
        Quantiles; the coord `quantile` says which.
    histogram : (step, parameter, bin)
        Entries in each bin, exact.
    histogram_changed, histogram_unchanged : (step, parameter, bin)
        The same for the entries whose bits differ from the reference, and for the others; only with `changed`. Entries
        that are NaN or Inf at either step are in neither. NaN if there is only one snapshot.
    bin_edges : (parameter, bin_edge)
        Edges of the bins, evenly spaced over the range of the first and the last snapshot; of long tensors about so.
    wasserstein, ks, js, psi : (step, parameter)
        Distance of the distribution from the one at the reference.
    wasserstein_prev, ks_prev, js_prev, psi_prev : (step, parameter)
        Distance from the snapshot before; NaN at the first.
    wasserstein_null, ks_null, js_null, psi_null : (step, parameter)
        How far two independent samples of one distribution, of as many entries, lie apart on average.
    mean_se, std_se : (step, parameter)
        Standard errors where only a sample of the entries was recorded.
    zeros, nonfinite : (step, parameter)
        Entries that are exactly zero, and NaN or Inf. The latter are left out of all else.
    total_… : (step)
        Moments, extremes and counts of the whole network; with many tensors only. Of tensors that were recorded at
        different steps, totals are NaN at steps that not all share; the attr `totals_over` says so.

    Raises
    ------
    MissingData
        The reference was not recorded, or has another shape; or there is no second step for updates.
    BadSetting
        There are not 2 to 4,096 bins, a quantile is not from 0 to 1, or `changed` is combined with updates.

    Notes
    -----
    Tensors of up to 16,384 entries are sorted: all is exact, and the bins of the histogram are evenly wide. Longer ones
    are counted in 65,536 fixed bins, each at most 1/128 of its values wide. A bin that holds more than 1/128 of the
    entries of a row is split into 1,026, over the range of its entries: resolution is relative to the spread of the
    row, and single values are exact. Entries are taken to spread evenly over a bin. A quantile is then off by at most
    1/128 of the larger, by size, of the two order statistics next to it, `wasserstein` by (mean|w_t| + mean|w_0|)/256,
    `ks` by the shares of entries in the fullest bin of each row. Values below 2^-133, and float64 beyond the range of
    float32, lie in bins that are wider, but split over the range of their entries; other float64 are counted as float32
    unless their bin is split. The counts of the histogram are
    exact; its edges are the nearest ends of fixed bins, if these are nearer than a quarter of a bin of the histogram.

    `psi` counts an empty bin as half an entry.

    A distance says more than noise where it is well above its `…_null`, the mean if the n entries of the row and the m
    of the reference, put together, had been dealt out anew. It allows for equal entries and for few. Entries of one
    tensor at two steps depend on each other, so that the distance may well be below it.

    References
    ----------
    Nulls: Smirnov 1948, Annals of Mathematical Statistics 19, for `ks`; del Barrio et al. 1999, Annals of Probability
    27, for `wasserstein`; hypergeometric counts for `js`, and for `psi` between values that many entries have, else
    beta-binomial ones.
    Moments are merged by Pébay 2008, SAND2008-6212. PSI: Siddiqi 2006, Credit Risk Scorecards.
    """
    if of not in OF:
        raise BadSetting(f"cannot compute distribution of={of!r}: choose {' or '.join(OF)}")
    if of == "updates" and changed:
        raise BadSetting(
            "cannot split the histogram of updates by changed entries: an update is itself a change; leave out "
            "changed, or use of='values'"
        )
    if of == "updates":
        weight = updates_of(weight)
        parent_weight = None if parent_weight is None else updates_of(parent_weight)
    if not 2 <= bins <= 4096 or not all(0 <= q <= 1 for q in quantiles):
        raise BadSetting(
            f"cannot compute distribution with bins={bins} and quantiles={list(quantiles)}; choose 2 to 4,096 bins, "
            "and quantiles from 0 to 1"
        )
    anchor = reference if parent_weight is None else at_step(parent_weight, reference)
    probabilities = tuple(map(float, quantiles))
    moments, _ = scan(Moments(), weight)
    errors = scan_errors(MomentErrors(), weight)
    spread, edges = scan(Distribution(probabilities, bins, changed), weight, reference=anchor)
    work = partial(
        _result, quantiles=probabilities, bins=bins, groups=GROUPS if changed else (), alone=parent_weight is None
    )
    result = as_one_task(work, moments, spread, edges, *errors)
    return annotate(
        result,
        MEANINGS,
        of=of,
        reference=reference,
        reference_of="itself" if parent_weight is None else "parent",
        bins=bins,
        ddof=0,
        exact_up_to=EXACT,
        quantile_error_bound="0 for tensors of up to exact_up_to entries, else 1/128 of the larger of the two order "
        "statistics next to it, plus 2^-132",
        wasserstein_error_bound="0 for tensors of up to exact_up_to entries, else (mean|w_t| + mean|w_ref|)/256",
        ks_error_bound="0 for tensors of up to exact_up_to entries, else the shares of entries in the fullest bin of "
        "each row; bins of one value do not count",
        **totals_over(weight),
    )


def _result(
    moments: xr.DataArray, spread: xr.DataArray, edges: xr.DataArray, *errors: xr.DataArray,
    quantiles: tuple[float, ...], bins: int, groups: tuple[str, ...], alone: bool,
) -> xr.Dataset:  # fmt: skip
    table = with_errors(columns_of(moments), errors, MOMENT_ERRORS)
    sums = Sums.of(table)
    quantities = quantities_of(sums)
    quantities |= _errors(sums, quantities["mean"], quantities["std"])
    if "parameter" in table.dims:
        whole = pooled(sums, "parameter")
        totals = quantities_of(whole)
        totals |= _errors(sums, totals["mean"], totals["std"], total=True)
        quantities |= {f"total_{name}": total for name, total in totals.items()}
    result = xr.Dataset(quantities, table.coords)
    spread = spread.drop_vars(["column", "pooling"])
    described = spread.sizes["column"] - bins * len(groups)
    split = {}
    for position, group in enumerate(groups):
        bars = slice(described + position * bins, described + (position + 1) * bins)
        split[f"histogram_{group}"] = spread.isel(column=bars).rename(column="bin")
    spread = spread.isel(column=slice(described))
    parts = distribution_parts(spread, quantiles=len(quantiles), bins=bins, suffixes=("", "_prev"))
    edges = closed(edges.rename(summary="bin_edge"), result["min"].min("step"), result["max"].max("step"))
    nulls = {f"{name}_null": spread.isel(column=i - len(DISTANCES)) for i, name in enumerate(DISTANCES)}
    result = result.assign(parts | split).assign(bin_edges=edges).assign(nulls)
    if alone:  # one snapshot says nothing about change
        compared = table["count"].notnull().sum("step") > 1
        result = result.assign({name: result[name].where(compared) for name in (*DISTANCES, *split)})
    return stride(result).assign_coords(quantile=list(quantiles))


def _errors(sums: Sums, mean: xr.Variable, std: xr.Variable, *, total: bool = False) -> dict[str, xr.Variable]:
    """Return the standard errors of mean and standard deviation."""
    of_mean, of_variance = moment_errors(sums, mean, std**2, total=total)
    return {"mean_se": of_mean.where(mean.notnull()), "std_se": root_error(of_variance, std).where(std.notnull())}
