"""Findings on saturated values and units."""

import numpy as np
import xarray as xr

from trajlab.reports.findings.finding import Finding, largest_changes, nonfinite
from trajlab.statistics.extremes import Extreme, extreme, in_run, last, typical
from trajlab.statistics.wording import listed, share

HEADLINES = ("fraction_saturated", "fraction_low", "fraction_high", "fraction_units_saturated")

CHANGE = 0.1
"""Smallest change of a share of saturated values that is reported."""


def saturation(result: xr.Dataset) -> list[Finding]:
    """Report which layer is saturated most at the end, where this rose most, and where whole units are stuck."""
    findings = nonfinite(result, "fraction_saturated", "activations")
    return [*findings, *_without_rule(result), *_end(result), *_risen(result), *_units(result)]


def _without_rule(result: xr.Dataset) -> list[Finding]:
    rules = result["rule"].isel(run=0, missing_dims="ignore").values
    names = [f"`{name}`" for name, rule in zip(result["layer"].values, rules, strict=True) if rule == "none"]
    if not names:
        return []
    shown = names if len(names) <= 4 else [*names[:3], f"{len(names) - 3} others"]
    verb = "has" if len(names) == 1 else "have"
    return [Finding(f"{listed(shown)} {verb} no rule for what is saturated, and no share.", "fraction_saturated")]


def _layer(result: xr.Dataset, point: Extreme) -> str:
    """Name a layer, and what counts in it."""
    rule = str(result["rule"].isel(run=0, missing_dims="ignore").sel(layer=point.at["layer"]).item())
    return f"`{point.at['layer']}` ({rule})"


def _end(result: xr.Dataset) -> list[Finding]:
    point = extreme(last(result["fraction_saturated"]))
    if point is None:
        return []
    if point.value == 0:
        where = " in any run" if "run" in result.dims else ""
        return [Finding(f"At the end no value of any layer is saturated{where}.", "fraction_saturated")]
    text = f"{_layer(result, point)} is saturated most at the end{in_run(point)}: {share(point.value)} of its values"
    low, high = (float(last(result[f"fraction_{side}"]).sel(point.at)) for side in ("low", "high"))
    if np.isfinite(low) and np.isfinite(high):
        text += f", {share(low)} below and {share(high)} above"
    if "run" in result.dims:
        middle = float(typical(last(result["fraction_saturated"])).sel(layer=point.at["layer"]))
        text += f" (median of the runs {share(middle)})"
    return [Finding(f"{text}.", "fraction_saturated")]


def _risen(result: xr.Dataset) -> list[Finding]:
    return [
        Finding(
            f"Saturation {verb} most in {_layer(result, point)}{in_run(point)}: from {share(before)} to {share(after)} "
            "of the values.",
            "fraction_saturated",
        )
        for verb, point, before, after in largest_changes(result["fraction_saturated"], CHANGE)
    ]


def _units(result: xr.Dataset) -> list[Finding]:
    point = extreme(last(result["fraction_units_saturated"]))
    if point is None or point.value == 0:
        return []
    most = share(float(result.attrs["min_share"]))
    text = f"At the end {share(point.value)} of the units of `{point.at['layer']}`{in_run(point)} are saturated"
    return [Finding(f"{text} at {most} of the positions or more.", "units")]
