"""Distributions of weights, gradients and activations, from their moments."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from trajlab.statistics.result import Meaning, Sums, expansion

DISTANCES = {
    "wasserstein": Meaning("Wasserstein distance", "value", "∫|F_t − F_{anchor}|"),
    "ks": Meaning("Kolmogorov–Smirnov distance", "1", "max|F_t − F_{anchor}|"),
    "js": Meaning("Jensen–Shannon distance", "1", "square root of the divergence in base 2 of the histograms"),
    "psi": Meaning(
        "population stability index",
        "1",
        "Σ(p − q) ln(p/q) over the deciles of F_{anchor}; an empty one counts as half an entry",
    ),
}
"""Distances of the distribution F_t from that of an anchor, in the order in which the kernel computes them."""

SMALLEST_VARIANCE, LARGEST_VARIANCE = 1e-140, 1e140
"""Variances between which fourth powers stay in the range of float64, in which moments are summed."""

_RANGE = "NaN for standard deviations below 1e-70 or above 1e70, as float64 cannot hold their powers"


def described(symbol: str, bound: str) -> dict[str, Meaning]:
    """Describe moments, quantiles and histograms.

    Parameters
    ----------
    symbol
        Symbol of a value.
    bound
        Note on the error, which follows the definition of quantiles.
    """
    return {
        "mean": Meaning("mean", "value", f"Σ{symbol} / n over finite entries"),
        "std": Meaning("standard deviation", "value", f"sqrt(Σ({symbol} − mean)² / n), ddof 0"),
        "skewness": Meaning("skewness", "1", f"m₃ / m₂^1.5, biased as in scipy.stats.skew; {_RANGE}"),
        "excess_kurtosis": Meaning(
            "excess kurtosis", "1", f"m₄ / m₂² − 3, biased as in scipy.stats.kurtosis; {_RANGE}"
        ),
        "min": Meaning("smallest value", "value", f"min {symbol}"),
        "max": Meaning("largest value", "value", f"max {symbol}"),
        "quantiles": Meaning("quantile", "value", "linear interpolation between order statistics" + bound),
        "histogram": Meaning(
            "entries in a bin", "entries", "count between two bin_edges; the outermost bins include all values beyond"
        ),
        "bin_edges": Meaning(
            "edges of the bins", "value", "shared over all steps; the outermost are the extremes of all steps"
        ),
        "zeros": Meaning("entries that are exactly zero", "entries", "count"),
        "nonfinite": Meaning("entries that are NaN or Inf", "entries", "count"),
    }


def shift_meanings(anchors: Mapping[str, tuple[str, str]], bound: str) -> dict[str, Meaning]:
    """Describe the distances of distributions from anchors.

    Parameters
    ----------
    anchors
        By suffix of the name, the anchor in words and as an index.
    bound
        Note on the error, which follows the definitions that have one.
    """
    meanings = {}
    for suffix, (words, index) in anchors.items():
        for name, meaning in DISTANCES.items():
            definition = meaning.definition + (bound if name in ("wasserstein", "ks") else "")
            definition = definition.replace("{anchor}", index)
            meanings[name + suffix] = Meaning(f"{meaning.long_name} from {words}", meaning.units, definition)
    return meanings


def quantities_of(sums: Sums) -> dict[str, xr.Variable]:
    """Return moments and extremes from the columns of `Moments`."""
    count = sums.count
    variance = sums.m2 / count
    in_range = (variance == 0) | ((variance > SMALLEST_VARIANCE) & (variance < LARGEST_VARIANCE))
    return {
        "mean": sums.mean.where(count > 0),
        "std": np.sqrt(variance),
        "skewness": (sums.m3 / count / variance**1.5).where(in_range),
        "excess_kurtosis": (sums.m4 / count / variance**2 - 3.0).where(in_range),
        "min": sums.min,
        "max": sums.max,
        "zeros": sums.zeros,
        "nonfinite": sums.nonfinite,
    }


def about(moments: Sums, mean: xr.Variable) -> tuple[xr.Variable, xr.Variable, xr.Variable]:
    """Return the second to fourth power sums about a given mean."""
    count, m2, m3, m4, d = moments.count, moments.m2, moments.m3, moments.m4, moments.mean - mean
    return m2 + count * d**2, m3 + 3 * d * m2 + count * d**3, m4 + 4 * d * m3 + 6 * d**2 * m2 + count * d**4


def pooled(moments: Sums, dim: str) -> Sums:
    """Pool central moments along a dim into those of all entries, about their common mean; empty tensors add nothing.

    What was not recorded at a step leaves the whole unknown there.

    Parameters
    ----------
    moments
        Columns of `Moments`, `numel` and `sampled`: the number of entries, and of those that were recorded.
    dim
        The dim, such as `parameter`.
    """
    scale = expansion(moments)
    total = (moments.count * scale).sum(dim, skipna=False)
    mean = (moments.count * moments.mean * scale).sum(dim, skipna=False) / total
    m2, m3, m4 = about(moments, mean)
    parts = {"m2": m2, "m3": m3, "m4": m4, "zeros": moments.zeros, "nonfinite": moments.nonfinite}
    sums = {name: (part * scale).sum(dim, skipna=False) for name, part in parts.items()}
    has_entries = moments.count != 0
    low = moments.min.where(has_entries, np.inf).min(dim, skipna=False)
    high = moments.max.where(has_entries, -np.inf).max(dim, skipna=False)
    extremes = {"min": low.where(total != 0), "max": high.where(total != 0)}
    return Sums(**{"count": total, "mean": mean} | sums | extremes)


def distribution_parts(
    columns: xr.DataArray, *, quantiles: int, bins: int, suffixes: Sequence[str]
) -> dict[str, xr.DataArray]:
    """Return quantiles, histogram and distances as variables.

    Parameters
    ----------
    columns
        Along `column`: quantiles, bins of the histogram, and `DISTANCES` from each anchor.
    quantiles, bins
        Number of quantiles, and of bins.
    suffixes
        What the names of distances from each anchor end with.
    """
    shifts = columns.isel(column=slice(quantiles + bins, None))
    parts = {
        "quantiles": columns.isel(column=slice(quantiles)).rename(column="quantile"),
        "histogram": columns.isel(column=slice(quantiles, quantiles + bins)).rename(column="bin"),
    }
    for position, name in enumerate(DISTANCES):
        for anchor, suffix in enumerate(suffixes):
            parts[name + suffix] = shifts.isel(column=anchor * len(DISTANCES) + position)
    return parts


def closed(edges: xr.DataArray, low: xr.DataArray, high: xr.DataArray) -> xr.DataArray:
    """Set the outermost edges to the extremes, as the outermost bins include all values beyond."""
    position = xr.DataArray(np.arange(edges.sizes["bin_edge"]), dims="bin_edge")
    last = edges.sizes["bin_edge"] - 1
    return xr.where(position == 0, low, xr.where(position == last, high, edges)).transpose(..., "bin_edge")
