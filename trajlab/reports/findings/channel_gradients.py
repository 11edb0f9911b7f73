"""Findings on the emission and absorption of gradients by channels."""

import xarray as xr

from trajlab.reports.findings.finding import Finding, nonfinite
from trajlab.statistics.extremes import extreme, last, typical
from trajlab.statistics.wording import count, number

HEADLINES = ("median_cv_ratio", "median_norm_correlation")

ALIKE = 1.1
"""Factor from which on variations count as different."""

STRONG = 0.7
"""Correlation from which on it counts as strong."""


def channel_gradients(result: xr.Dataset) -> list[Finding]:
    """Report where emission differs more than absorption, and how much of it the norms of filters explain."""
    return [*nonfinite(result, "", "emissions and absorptions"), *_variation(result), *_norms(result)]


def _variation(result: xr.Dataset) -> list[Finding]:
    ratio = typical(last(result["cv_ratio"])).dropna("layer")
    if not ratio.size:
        return []
    runs = " (medians of the runs)" if "run" in result.dims else ""
    more = int((ratio > ALIKE).sum())
    less = int((ratio < 1 / ALIKE).sum())
    high, low = extreme(ratio), extreme(ratio, least=True)
    if high is None or low is None:
        return []
    if ratio.size == 1:
        text = f"In `{high.at['layer']}` emission varies {number(high.value)} times as much as absorption from channel "
        return [Finding(f"{text}to channel at the end{runs}.", "variation")]
    text = (
        f"Of {count(ratio.size, 'layer')} with several input channels, emission varies more than absorption from "
        f"channel to channel in {more}, less in {less} at the end: from {number(low.value)} times as much in "
        f"`{low.at['layer']}` to {number(high.value)} times in `{high.at['layer']}`{runs}"
    )
    return [Finding(f"{text}.", "variation")]


def _norms(result: xr.Dataset) -> list[Finding]:
    strength = typical(last(result["norm_correlation"])).dropna("layer")
    high, low = extreme(strength), extreme(strength, least=True)
    if high is None or low is None:
        return []
    runs = " (medians of the runs)" if "run" in result.dims else ""
    text = f"Emission goes with the norm of the filter by a correlation of {number(high.value)} in `{high.at['layer']}`"
    if high.at != low.at:
        text += f", of {number(low.value)} in `{low.at['layer']}`; it is {number(STRONG)} or more in "
        text += f"{int((strength >= STRONG).sum())} of {count(strength.size, 'layer')}"
    return [Finding(f"{text} at the end{runs}.", "norm_correlation")]
