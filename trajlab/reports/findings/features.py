"""Findings on shift and spread of activations, on examples and noise."""

import numpy as np
import xarray as xr

from trajlab.reports.findings.finding import Finding, nonfinite
from trajlab.statistics.extremes import extreme, in_run, last, typical
from trajlab.statistics.result import reference_name
from trajlab.statistics.wording import number, share

HEADLINES = ("mean", "std", "skewness", "excess_kurtosis", "min", "max", "zeros", "nonfinite")

GROWN = 1.5
"""Smallest factor of a standard deviation that is reported."""


def features(result: xr.Dataset) -> list[Finding]:
    """Report where activations shifted and grew most, and which noise the network tells from examples."""
    findings = nonfinite(result, "std", "activations")
    first = result.isel(input=0)
    return [*findings, *_shift(first), *_spread(first), *_apart(result)]


def _on(result: xr.Dataset) -> str:
    return f"on the {result['input'].item()} inputs"


def _shift(result: xr.Dataset) -> list[Finding]:
    start, end = result["std"].isel(step=0, drop=True), last(result["std"])
    point = extreme(last(result["ks"]).where(start > 0))
    if point is None or point.value == 0:
        return []
    before, after = float(start.sel(point.at)), float(end.sel(point.at))
    text = (
        f"The activations of `{point.at['layer']}` shifted most {_on(result)}{in_run(point)}: Kolmogorov–Smirnov "
        f"distance {number(point.value)} from {reference_name(result.attrs)}, standard deviation from "
        f"{number(before)} at the first step to {number(after)}."
    )
    return [Finding(text, "ks")]


def _spread(result: xr.Dataset) -> list[Finding]:
    start = result["std"].isel(step=0, drop=True)
    change = (last(result["std"]) / start).where(start > 0)
    findings = []
    for words, least in (("grew", False), ("shrank", True)):
        point = extreme(change, least=least)
        if point is None or (1 / max(point.value, 1e-300) if least else point.value) < GROWN:
            continue
        amount = f"fell to {share(point.value)}" if least else f"grew {number(point.value)}-fold"
        text = f"`{point.at['layer']}` {words} most {_on(result)}{in_run(point)}: its standard deviation {amount}."
        findings.append(Finding(text, "std"))
    return findings


def _apart(result: xr.Dataset) -> list[Finding]:
    """Report how far activations on each kind of inputs are from those on the valid ones, where they are farthest."""
    if "ks_valid" not in result:
        return []
    end = typical(last(result["ks_valid"]))
    point = extreme(end)
    if point is None:
        return []
    of_layer = end.sel(layer=point.at["layer"])
    kinds = [str(kind) for kind in result["input"].values if np.isfinite(float(of_layer.sel(input=kind)))]
    distances = ", ".join(f"{number(float(of_layer.sel(input=kind)))} on {kind} ones" for kind in kinds)
    median = ", in the median run" if "run" in result.dims else ""
    text = (
        f"Inputs make the most difference in `{point.at['layer']}` at the end: its activations have a "
        f"Kolmogorov–Smirnov distance from those on the valid inputs of {distances}{median}."
    )
    return [Finding(text, "ks_valid")]
