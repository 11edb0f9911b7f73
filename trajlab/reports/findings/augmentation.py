"""Findings on the invariance of layers to augmentation."""

import xarray as xr

from trajlab.reports.findings.finding import Finding, nonfinite
from trajlab.statistics.extremes import extreme, in_run, last, typical
from trajlab.statistics.wording import number

HEADLINES = ("invariance",)


def augmentation(result: xr.Dataset) -> list[Finding]:
    """Report which layer is most invariant, and where the invariance was learned."""
    return [*nonfinite(result, "invariance", "activations"), *_most(result), *_learned(result)]


def _most(result: xr.Dataset) -> list[Finding]:
    end = typical(last(result["invariance"]))
    best, worst = extreme(end), extreme(end, least=True)
    if best is None or worst is None:
        return []
    runs = " (median of the runs)" if "run" in result.dims else ""
    text = f"At the end the invariance of `{best.at['layer']}` to augmentation is {number(best.value)}"
    if best.at == worst.at:
        return [Finding(f"{text}{runs}.", "invariance")]
    text += f", the most of all layers; that of `{worst.at['layer']}` is the least, {number(worst.value)}"
    return [Finding(f"{text}{runs}.", "invariance")]


def _learned(result: xr.Dataset) -> list[Finding]:
    array = result["invariance"]
    steps = array["step"].values
    if len(steps) < 2:
        return []
    gain = last(array) - array.isel(step=0, drop=True)
    most, least = extreme(gain), extreme(gain, least=True)
    if most is None or least is None:
        return []
    point = most if most.value > -least.value else least
    before, after = (float(values.sel(point.at)) for values in (array.isel(step=0, drop=True), last(array)))
    word = "rose" if point.value > 0 else "fell"
    text = f"It {word} most in `{point.at['layer']}`{in_run(point)}: from {number(before)} at step {steps[0]:,} to"
    return [Finding(f"{text} {number(after)}.", "invariance")] if point.value else []
