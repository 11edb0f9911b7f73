"""How the values of each tensor are distributed, and how the distribution shifts."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.kernels.moments import Moments
from trajlab.kernels.spread import EXACT, SHIFTS, Spread
from trajlab.lazily import lazily
from trajlab.result import Meaning, Sums, annotate, stride
from trajlab.sampling import root_error, total_error
from trajlab.scan import Tensor, at_step, scan

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

_BOUND = "; the error bound for tensors that are not sorted is in the attrs of the result"
MEANINGS = {
    "mean": Meaning("mean", "value", "Σw / n over finite entries"),
    "std": Meaning("standard deviation", "value", "sqrt(Σ(w − mean)² / n), ddof 0"),
    "skewness": Meaning("skewness", "1", "m₃ / m₂^1.5, biased as in scipy.stats.skew"),
    "excess_kurtosis": Meaning("excess kurtosis", "1", "m₄ / m₂² − 3, biased as in scipy.stats.kurtosis"),
    "min": Meaning("smallest value", "value", "min w"),
    "max": Meaning("largest value", "value", "max w"),
    "quantiles": Meaning("quantile", "value", "linear interpolation between order statistics" + _BOUND),
    "histogram": Meaning(
        "entries in a bin", "entries", "count between two bin_edges; the outermost bins take all beyond"
    ),
    "bin_edges": Meaning(
        "edges of the bins", "value", "shared over all steps; the outermost are the extremes of all steps"
    ),
    "zeros": Meaning("entries that are exactly zero", "entries", "count"),
    "nonfinite": Meaning("entries that are NaN or Inf", "entries", "count"),
}
_DISTANCES = {
    "wasserstein": ("Wasserstein distance", "value", "∫|F_t − F_0|" + _BOUND),
    "ks": ("Kolmogorov–Smirnov distance", "1", "max|F_t − F_0|" + _BOUND),
    "js": ("Jensen–Shannon distance", "1", "square root of the divergence in base 2 of the histograms"),
    "psi": (
        "population stability index",
        "1",
        "Σ(p − q) ln(p/q) over the deciles of the reference; Inf where one is empty",
    ),
}
for _name, (_title, _units, _definition) in _DISTANCES.items():
    MEANINGS[_name] = Meaning(f"{_title} from the reference", _units, _definition)
    MEANINGS[f"{_name}_prev"] = Meaning(
        f"{_title} from the snapshot before",
        _units,
        _definition.replace("F_0", "F_prev").replace("reference", "snapshot before"),
    )
_CHANCE = {
    "wasserstein": "sqrt(2/π · (1/n + 1/m)) ∫ sqrt(F(1 − F)), F of both rows together",
    "ks": "sqrt(π/2) ln 2 · sqrt(1/n + 1/m)",
    "js": "sqrt((K − 1)(1/n + 1/m) / (8 ln 2)), K bins that hold entries",
    "psi": "9 (1/n + 1/m)",
}
for _name, _definition in _CHANCE.items():
    MEANINGS[f"{_name}_null"] = Meaning(f"{_DISTANCES[_name][0]} by chance", _DISTANCES[_name][1], _definition)
for _name in ("mean", "std"):
    MEANINGS[f"{_name}_se"] = Meaning(
        f"standard error of the {MEANINGS[_name].long_name}", "value", "0 if all entries are recorded"
    )


def distribution(
    weight: Tensor,
    parent_weight: Tensor | None = None,
    *,
    reference: int = 0,
    bins: int = 64,
    quantiles: Sequence[float] = QUANTILES,
) -> xr.Dataset:
    """How the values of each tensor are distributed, and how far the distribution shifted.

    Answers: did the weights spread out, grow tails or collapse, and when? Serves gradients and activations too.

    Parameters
    ----------
    weight
        One parameter's life, dims (step, ...), or those of many by name.
    parent_weight
        The same of another run; shifts are then taken from its weights.
    reference
        Step that shifts are taken from; 0 is the first one recorded, -1 the last.
    bins
        Number of bins of the histogram.
    quantiles
        Which quantiles, each from 0 to 1.

    Returns
    -------
    mean, std, skewness, excess_kurtosis, min, max : (step, parameter)
        Moments and extremes.
    quantiles : (step, parameter, quantile)
        Quantiles; the coord `quantile` says which.
    histogram : (step, parameter, bin)
        Entries in each bin, exact.
    bin_edges : (parameter, bin_edge)
        Edges of the bins, about evenly spaced over the range of the first and the last snapshot.
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
        Moments, extremes and counts of the whole network; with many tensors only.

    Raises
    ------
    MissingData
        The reference was not recorded, or has another shape.
    BadSetting
        There are not 2 to 4,096 bins, or a quantile is not from 0 to 1.

    Notes
    -----
    Tensors of up to 16,384 entries are sorted: all is exact. Longer ones are counted in 65,536 fixed bins, each at most
    1/128 of its values wide, over which entries are taken to spread evenly. A quantile is then off by at most 1/128 of
    itself, `wasserstein` by (mean|w_t| + mean|w_0|)/256, `ks` by the share of entries in the fullest fixed bin.

    A distance says more than noise where it is well above its `…_null`, what is to be expected if the n entries of the
    row and the m of the reference, put together, had been dealt out anew. Entries of one tensor at two steps depend on
    each other, so that the distance may well be below it.

    References
    ----------
    Nulls: Smirnov 1948, Annals of Mathematical Statistics 19, for `ks`; del Barrio et al. 1999, Annals of Probability
    27, for `wasserstein`; the others are those of χ² with 9 and K − 1 degrees of freedom.
    Moments are merged by Pébay 2008, SAND2008-6212. PSI: Siddiqi 2006, Credit Risk Scorecards.
    """
    if not 2 <= bins <= 4096 or not all(0 <= q <= 1 for q in quantiles):
        raise BadSetting(
            f"bins={bins} and quantiles={list(quantiles)} were asked for; 2 to 4,096 bins can be made, and quantiles "
            "from 0 to 1. Change the setting."
        )
    anchor = reference if parent_weight is None else at_step(parent_weight, reference)
    probabilities = tuple(map(float, quantiles))
    moments, _ = scan(Moments(), weight)
    spread, edges = scan(Spread(probabilities, bins), weight, reference=anchor)
    result = lazily(partial(_result, quantiles=probabilities, bins=bins), moments, spread, edges)
    return annotate(
        result,
        MEANINGS,
        reference=reference,
        bins=bins,
        ddof=0,
        exact_up_to=EXACT,
        quantile_error_bound="0 for tensors of up to exact_up_to entries, else 1/128 of the quantile",
        wasserstein_error_bound="0 for tensors of up to exact_up_to entries, else (mean|w_t| + mean|w_ref|)/256",
        ks_error_bound="0 for tensors of up to exact_up_to entries, else the share of entries in the fullest fixed bin",
    )


def _result(
    moments: xr.DataArray, spread: xr.DataArray, edges: xr.DataArray, *, quantiles: tuple[float, ...], bins: int
) -> xr.Dataset:
    table = moments.to_dataset("column")
    sums = Sums.of(table)
    quantities = _quantities(sums)
    quantities |= _errors(sums, quantities["std"])
    if "parameter" in table.dims:
        whole = _pooled(sums)
        totals = _quantities(whole)
        totals |= _errors(sums, totals["std"], about=whole.mean)
        quantities |= {f"total_{name}": total for name, total in totals.items()}
    result = xr.Dataset(quantities, table.coords)
    count = len(quantiles)
    spread = spread.drop_vars("column")
    shifts = spread.isel(column=slice(count + bins, None)).variable
    histogram = spread.isel(column=slice(count, count + bins)).rename(column="bin")
    parts: dict[str, xr.DataArray | xr.Variable] = {
        "quantiles": spread.isel(column=slice(count)).rename(column="quantile"),
        "histogram": histogram,
        "bin_edges": _closed(edges.rename(summary="bin_edge"), result["min"], result["max"]),
    }
    for position, name in enumerate(SHIFTS):
        parts[name] = shifts.isel(column=position)
        parts[f"{name}_prev"] = shifts.isel(column=len(SHIFTS) + position)
    chance = shifts.isel(column=slice(2 * len(SHIFTS), None))
    parts |= _nulls(sums.count, chance.isel(column=0), chance.isel(column=1), histogram.variable)
    return stride(result.assign(parts)).assign_coords(quantile=list(quantiles))


def _nulls(
    count: xr.Variable, reference_count: xr.Variable, scatter: xr.Variable, histogram: xr.Variable
) -> dict[str, xr.Variable]:
    """Give how far apart two independent samples of one distribution lie on average."""
    scale = 1.0 / count + 1.0 / reference_count
    occupied = (histogram > 0).sum("bin")
    return {
        "wasserstein_null": np.sqrt(2.0 / np.pi * scale) * scatter,
        "ks_null": np.sqrt(np.pi / 2.0 * scale) * np.log(2.0),
        "js_null": np.sqrt((occupied - 1) * scale / (8.0 * np.log(2.0))),
        "psi_null": 9.0 * scale,
    }


def _closed(edges: xr.DataArray, low: xr.DataArray, high: xr.DataArray) -> xr.DataArray:
    """Close the outermost bins, that take all beyond, at the extremes of all steps."""
    position = xr.DataArray(np.arange(edges.sizes["bin_edge"]), dims="bin_edge")
    last = edges.sizes["bin_edge"] - 1
    return xr.where(position == 0, low.min("step"), xr.where(position == last, high.max("step"), edges)).transpose(
        ..., "bin_edge"
    )


def _quantities(sums: Sums) -> dict[str, xr.Variable]:
    count = sums.count
    variance = sums.m2 / count
    return {
        "mean": sums.mean.where(count > 0),
        "std": np.sqrt(variance),
        "skewness": sums.m3 / count / variance**1.5,
        "excess_kurtosis": sums.m4 / count / variance**2 - 3.0,
        "min": sums.min,
        "max": sums.max,
        "zeros": sums.zeros,
        "nonfinite": sums.nonfinite,
    }


def _about(moments: Sums, mean: xr.Variable) -> tuple[xr.Variable, xr.Variable, xr.Variable]:
    """Give the sums of the second to fourth powers of the distance from any mean."""
    count, m2, m3, m4, d = moments.count, moments.m2, moments.m3, moments.m4, moments.mean - mean
    return m2 + count * d**2, m3 + 3 * d * m2 + count * d**3, m4 + 4 * d * m3 + 6 * d**2 * m2 + count * d**4


def _pooled(moments: Sums) -> Sums:
    """Join the central moments of all parameters into those of the whole network, about its own mean."""
    scale = moments.numel / moments.sampled
    total = (moments.count * scale).sum("parameter", skipna=False)
    mean = (moments.count * moments.mean * scale).sum("parameter", skipna=False) / total
    m2, m3, m4 = _about(moments, mean)
    parts = {"m2": m2, "m3": m3, "m4": m4, "zeros": moments.zeros, "nonfinite": moments.nonfinite}
    sums = {name: (part * scale).sum("parameter", skipna=False) for name, part in parts.items()}
    extremes = {"min": moments.min.min("parameter"), "max": moments.max.max("parameter")}
    return Sums(**{"count": total, "mean": mean} | sums | extremes)


def _errors(moments: Sums, std: xr.Variable, about: xr.Variable | None = None) -> dict[str, xr.Variable]:
    """Give the standard errors of mean and standard deviation, of all parameters together if about a common mean."""
    total = about is not None
    numel = moments.numel.sum("parameter") if total else moments.numel
    mean = moments.mean if about is None else about
    m2, _, m4 = _about(moments, mean)
    first = moments.count * (moments.mean - mean)
    of_variance = total_error(m2, m4, moments, total=total) / numel
    return {"mean_se": total_error(first, m2, moments, total=total) / numel, "std_se": root_error(of_variance, std)}
