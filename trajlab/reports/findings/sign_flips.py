"""Findings on sign flips of gradients and weights."""

import numpy as np
import xarray as xr

from trajlab.reports.findings.finding import Finding, unknown
from trajlab.statistics.extremes import extreme, last, of_weights, total_of, typical
from trajlab.statistics.wording import listed, share

HEADLINES = ("flip_rate", "flip_rate_ar1", "run_length", "minima", "maxima", "weight_flip_rate")

COIN = 0.5
SURE = 3.0
"""Standard errors by which a mean over the steps must differ from a coin's rate to be told from it."""


def sign_flips(result: xr.Dataset) -> list[Finding]:
    """Report which layers' gradients keep their sign or alternate more than a coin would, and how weights flip."""
    return [*_against_coin(result), *_valley(result), *_weights(result), *unknown(result, "minima")]


def _against_coin(result: xr.Dataset) -> list[Finding]:
    if "flip_rate" not in result or "parameter" not in result.dims:
        return []
    rate = result["flip_rate"]
    over = [dim for dim in rate.dims if dim != "parameter"]
    mean, counts = rate.mean(over), rate.notnull().sum(over)
    spread = np.sqrt(((rate - mean) ** 2).mean(over))  # std() of old versions warns where all values are NaN
    error = spread / np.sqrt(counts.where(counts > 0))
    z = (mean - COIN) / error
    names = rate["parameter"].values
    persist = [str(name) for name in names[(z < -SURE).values]]
    swing = [str(name) for name in names[(z > SURE).values]]
    runs = f" and {result.sizes['run']} runs" if result.sizes.get("run", 1) > 1 else ""
    findings = []
    process = result["flip_rate_ar1"].mean(over)
    for group, words, low in (
        (persist, "keep their sign more than a coin would", True),
        (swing, "alternate more than a coin would", False),
    ):
        if not group:
            continue
        point = extreme(mean.sel(parameter=np.array(group, object)), least=low)
        if point is None:
            continue
        name = point.at["parameter"]
        expected = share(float(process.sel(parameter=name)))
        most = f", most of all `{name}`" if len(group) > 1 else ""
        text = (
            f"Gradients of {_some(group, len(names))} {words}{most}: {share(point.value)} change sign "
            f"from step to step, against 50 % of a coin and {expected} of an AR(1) process with their correlation "
            f"(means over steps{runs})."
        )
        findings.append(Finding(text, "flip_rate"))
    if not findings and bool(mean.notnull().any()):
        findings.append(Finding("No layer's gradient signs can be told from the tosses of a coin.", "flip_rate"))
    return findings


def _some(group: list[str], of: int) -> str:
    """Name a few parameters, or count many."""
    if len(group) == of and of > 1:
        return f"all {of} tensors"
    return listed([f"`{name}`" for name in group]) if len(group) <= 3 else f"{len(group)} of {of} tensors"


def _valley(result: xr.Dataset) -> list[Finding]:
    minima, maxima = total_of(result, "minima"), total_of(result, "maxima")
    if minima is None or maxima is None:
        return []
    over, under = float(minima.sum()), float(maxima.sum())
    if over + under == 0:
        return []
    part = over / (over + under)
    text = f"Of the flips whose weight moved, {share(part)} pass a minimum of the loss along its axis"
    return [Finding(f"{text}, {share(1 - part)} a maximum.", "extrema")]


def _weights(result: xr.Dataset) -> list[Finding]:
    if "weight_flip_rate" not in result or "parameter" not in result.dims:
        return []
    rate = of_weights(typical(result["weight_flip_rate"])).mean("step")
    point, end = extreme(rate), total_of(result, "weight_flip_rate")
    if point is None or end is None or point.value == 0:
        return []
    final = float(typical(last(end)))
    text = (
        f"Weights of `{point.at['parameter']}` change sign most: {share(point.value)} from one snapshot to the next "
        f"(mean over steps); of the whole network {share(final)} at the end."
    )
    return [Finding(text, "weight_flips")]
