"""Findings on shift, spread and tails of values."""

import numpy as np
import xarray as xr

from trajlab.reports.findings.finding import CERTAIN, Finding, nonfinite
from trajlab.statistics.extremes import ENOUGH, Extreme, extreme, in_run, large, last, of_weights
from trajlab.statistics.result import reference_name
from trajlab.statistics.wording import number, share

HEADLINES = ("std", "skewness", "excess_kurtosis", "min", "max", "zeros", "nonfinite")

TAILS = 1.0
"""Excess kurtosis, and growth of it, from which on tails are worth a sentence."""


def distribution(result: xr.Dataset) -> list[Finding]:
    """Report which layer's values shifted most, which spread out, collapsed or grew tails."""
    return [*nonfinite(result, "std", "values"), *_shift(result), *_spread(result), *_tails(result)]


def _start(result: xr.Dataset, name: str) -> xr.DataArray:
    return result[name].isel(step=0, drop=True)


def _name(point: Extreme) -> str:
    return f"`{point.at['parameter']}`" if "parameter" in point.at else "the values"


def _shift(result: xr.Dataset) -> list[Finding]:
    shift = last(result["ks"]).where(_start(result, "std") > 0)
    beyond = shift / last(result["ks_null"])
    point = extreme(large(beyond.where(np.isfinite(beyond))))
    if point is None or not bool((shift > 0).any()):
        return []
    before, after = (float(part.sel(point.at)) for part in (_start(result, "std"), last(result["std"])))
    among = f" of all tensors of at least {ENOUGH} entries" if large(shift).count() < shift.count() else ""
    if point.value <= 1:
        of = among.removeprefix(" of all tensors") if among else ""
        return [Finding(f"No tensor{of} shifted from {reference_name(result.attrs)} beyond chance.", "ks")]
    chance, distance = (float(array.sel(point.at)) for array in (last(result["ks_null"]), shift))
    text = (
        f"The values of {_name(point)} shifted most{among}{in_run(point)}: Kolmogorov–Smirnov distance "
        f"{number(distance)} from {reference_name(result.attrs)} (chance gives {number(chance)}), standard deviation "
        f"from {number(before)} to {number(after)}."
    )
    return [Finding(text, "ks", surprise=point.value)]


def _spread(result: xr.Dataset) -> list[Finding]:
    change = of_weights((last(result["std"]) / _start(result, "std")).where(_start(result, "std") > 0))
    findings = []
    wide, narrow = extreme(change), extreme(change, least=True)
    if wide is not None and wide.value >= 1.5:
        text = f"{_name(wide)} spread out most{in_run(wide)}: its standard deviation grew {number(wide.value)}-fold."
        findings.append(Finding(text[0].upper() + text[1:], "std", surprise=np.log(wide.value) / np.log(1.5)))
    if narrow is not None and narrow.value <= 0.5:
        text = f"{_name(narrow)} shrank most{in_run(narrow)}: its standard deviation fell to {share(narrow.value)}."
        fall = np.log2(1.0 / narrow.value) if narrow.value > 0 else CERTAIN
        findings.append(Finding(text[0].upper() + text[1:], "std", surprise=fall))
    return findings


def _tails(result: xr.Dataset) -> list[Finding]:
    start, end = _start(result, "excess_kurtosis"), last(result["excess_kurtosis"])
    point = extreme(large(of_weights((end - start).where(end > TAILS))))
    if point is None or point.value < TAILS:
        return []
    before, after = float(start.sel(point.at)), float(end.sel(point.at))
    text = f"{_name(point)} grew the heaviest tails{in_run(point)}: excess kurtosis from {before:.1f} to {after:.1f}."
    return [Finding(text[0].upper() + text[1:], "quantiles", surprise=point.value / TAILS)]
