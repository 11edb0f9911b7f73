"""Findings on the norm and direction of gradients."""

import numpy as np
import xarray as xr

from trajlab.reports.findings.finding import Finding, nonfinite
from trajlab.statistics.extremes import extreme, in_run, last, total_of, typical
from trajlab.statistics.wording import count, number, share

HEADLINES = ("l2", "rms", "max_abs", "angle_prev", "zeros", "nonfinite")

STARVED = 1e-3
"""Share of the largest layer's gradient per entry below which a layer is said to starve."""

PERIOD = 0.1
"""Share of the steps at each end of training over which gradients are averaged."""

SPIKE = 10.0
"""Times the median norm from which on the largest one is worth a sentence."""


def gradient_statistics(result: xr.Dataset) -> list[Finding]:
    """Report which layers starve, how the gradient of the whole network grew or shrank, and which way it turned."""
    return [*nonfinite(result, "l2", "gradients"), *_layers(result), *_change(result), *_spike(result), *_turn(result)]


def _end(array: xr.DataArray) -> xr.DataArray:
    """Return the median of the last tenth of the known steps."""
    known_steps = array.dropna("step", how="all")
    return known_steps.isel(step=slice(-max(1, round(PERIOD * known_steps.sizes["step"])), None)).median(
        "step", skipna=True
    )


def _start(array: xr.DataArray) -> xr.DataArray:
    known_steps = array.dropna("step", how="all")
    return known_steps.isel(step=slice(max(1, round(PERIOD * known_steps.sizes["step"])))).median("step", skipna=True)


def _layers(result: xr.Dataset) -> list[Finding]:
    if "parameter" not in result.dims:
        return []
    kinds = [kind not in ("bias", "norm") for kind in result["kind"].values]
    rms = result["rms"].isel(parameter=np.flatnonzero(kinds)) if any(kinds) else result["rms"]
    end = typical(_end(rms))
    most, least = extreme(end), extreme(end, least=True)
    if most is None or least is None or most.at == least.at or most.value == 0:
        return []
    runs = f" (median of {result.sizes['run']} runs)" if result.sizes.get("run", 1) > 1 else ""
    names = f"`{least.at['parameter']}`", f"`{most.at['parameter']}`"
    if least.value == 0:
        none = [str(name) for name in end["parameter"].values[(end == 0).values]]
        text = f"No gradient reaches {count(len(none), 'weight')} at the end{runs}, the first being `{none[0]}`."
        return [Finding(text, "rms")]
    text = (
        f"At the end an entry of {names[1]} gets the largest gradient, {number(most.value)} (root mean square), and "
        f"one of {names[0]} the smallest, {number(least.value)}{runs}"
    )
    starved = int((end < STARVED * most.value).sum())
    if starved:
        text += f"; {count(starved, 'weight')} of {end.sizes['parameter']} get less than a thousandth of the largest"
    return [Finding(f"{text}.", "rms")]


def _change(result: xr.Dataset) -> list[Finding]:
    norm = total_of(result, "l2")
    if norm is None or not bool(norm.notnull().any()):
        return []
    first, final = extreme(typical(_start(norm))), extreme(typical(_end(norm)))
    if first is None or final is None or first.value == 0:
        return []
    times = final.value / first.value
    way = "fell" if times < 0.5 else "rose" if times > 2 else "stayed about the same"
    runs = f" and {result.sizes['run']} runs" if result.sizes.get("run", 1) > 1 else ""
    text = (
        f"The norm of the gradient {way}: {number(first.value)} at the start, {number(final.value)} at the end "
        f"(medians over the first and the last {share(PERIOD)} of the steps{runs})."
    )
    return [Finding(text, "total")]


def _spike(result: xr.Dataset) -> list[Finding]:
    norm = total_of(result, "l2")
    if norm is None or not bool(norm.notnull().any()):
        return []
    point = extreme(norm / norm.median("step"))
    if point is None or point.value < SPIKE:
        return []
    text = f"At step {point.at['step']:,} the norm of the gradient is {number(round(point.value))} times its median"
    return [Finding(f"{text}{in_run(point)}.", "total")]


def _turn(result: xr.Dataset) -> list[Finding]:
    angle = total_of(result, "angle_prev")
    usual = None if angle is None else extreme(typical(angle).median("step"))
    if angle is None or usual is None:
        return []
    words = _agreement(usual.value)
    each = angle.median("step")
    low, high = extreme(each, least=True), extreme(each)
    if low and high and _agreement(low.value) != _agreement(high.value):
        text = (
            f"Successive gradients {_agreement(low.value)}{in_run(low)}, with a median angle of {low.value:.0f}°, and "
            f"{_agreement(high.value)}{in_run(high)}, with {high.value:.0f}°."
        )
        return [Finding(text, "angle")]
    final = extreme(typical(last(angle)))
    text = f"Successive gradients {words}: the median angle between them is {usual.value:.0f}°"
    text += f", the last one {final.value:.0f}°" if final is not None else ""
    return [Finding(f"{text}.", "angle")]


def _agreement(angle: float) -> str:
    return "agree" if angle < 80 else "swing back" if angle > 100 else "have little in common"
