"""Findings on adversarial accuracy, and on the stability and overlap of attributions."""

import numpy as np
import xarray as xr

from trajlab.figures.attribution import MAPS, OBJECTIVES
from trajlab.figures.attribution.sheets import is_image
from trajlab.reports.findings.finding import Finding, nonfinite
from trajlab.statistics.extremes import by_group, extreme, in_run, last, typical
from trajlab.statistics.wording import number, share

HEADLINES = ("adversarial_accuracy", "attention_iou", "attention_iou_prev")


def attribution(result: xr.Dataset) -> list[Finding]:
    """Report the accuracy under attack, the overlap of maps with masks and over steps, and units without a gradient."""
    findings = nonfinite(result, "samples", "outputs and gradients of the samples")
    return [*findings, *_attack(result), *_masks(result), *_stay(result), *_still(result)]


def _attack(result: xr.Dataset) -> list[Finding]:
    if "adversarial_accuracy" not in result:
        return []
    end = last(result["adversarial_accuracy"])
    middle = typical(end)
    accuracies = middle.values[np.isfinite(middle.values)]
    if not accuracies.size:
        return []
    sizes = middle["epsilon"].values[np.isfinite(middle.values)]
    runs = " (medians of the runs)" if "run" in result.dims else ""
    if not sizes[-1] > 0:
        return []
    attack = f"the attack with ε = {number(float(sizes[-1]))}"
    text = f"The accuracy on the probe ends at {share(float(accuracies[-1]))} under {attack}"
    text += f", {share(float(accuracies[0]))} without it" if sizes[0] == 0 else ""
    random = (
        typical(last(result["noise_accuracy"])).sel(epsilon=sizes[-1]).item() if "noise_accuracy" in result else np.nan
    )
    if np.isfinite(random):
        text += f", {share(random)} after random steps of the same size"
    findings = [Finding(f"{text}{runs}.", "adversarial_accuracy")]
    if "run" in end.dims:
        hard = end.sel(epsilon=sizes[-1])
        best, worst = extreme(hard), extreme(hard, least=True)
        if best is not None and worst is not None and share(best.value) != share(worst.value):
            text = f"The accuracy under {attack} is highest{in_run(best)} ({share(best.value)}) and lowest"
            findings.append(Finding(f"{text}{in_run(worst)} ({share(worst.value)}).", "adversarial_accuracy"))
    return findings


def _masks(result: xr.Dataset) -> list[Finding]:
    if "attention_iou" not in result:
        return []
    findings = []
    for name in result["map"].values:
        each = result["attention_iou"].sel(map=name).mean("sample")
        overlap = typical(each).dropna("step")
        if not overlap.size:
            continue
        text = f"{_called(name)}{_of(result, name)} and the masks have an attention IoU of"
        if medians := by_group(last(each)):
            low, high = sorted(medians, key=medians.__getitem__)[:: len(medians) - 1]
            text += f" {number(medians[high])} with `{high}` to {number(medians[low])} with `{low}` at the end"
            text += " (medians of runs that differ in their seed, means of the samples)"
        else:
            text += f" {number(float(overlap[-1]))} at the end"
            text += f", of {number(float(overlap[0]))} at step {int(overlap['step'][0]):,}" if overlap.size > 1 else ""
            text += " (mean of the samples)"
        findings.append(Finding(f"{text}.", "attention_iou"))
    return findings


def _stay(result: xr.Dataset) -> list[Finding]:
    if "attention_iou_prev" not in result:
        return []
    name = result["map"].values[-1]
    overlap = typical(result["attention_iou_prev"].sel(map=name).mean("sample"))
    overlaps = overlap.dropna("step")
    if not overlaps.size:
        return []
    steps = result["step"].values
    text = _between(name, steps, overlaps.isel(step=-1))
    least = overlaps.isel(step=int(overlaps.argmin("step")))
    if overlaps.size > 1 and number(float(least)) != number(float(overlaps[-1])):
        before = steps[int(np.searchsorted(steps, least["step"].item())) - 1]
        text += f", least at steps {before:,} and {least['step'].item():,}, by {number(float(least))}"
    runs = ", median of the runs" if "run" in result.dims else ""
    return [Finding(f"{text} (attention IoU, mean of the samples{runs}).", "attention_iou_prev")]


def _between(name: str, steps: np.ndarray, value: xr.DataArray) -> str:
    step = value["step"].item()
    before = steps[int(np.searchsorted(steps, step)) - 1]
    return f"{_called(name)} at steps {before:,} and {step:,} overlaps by {number(float(value))}"


def _still(result: xr.Dataset) -> list[Finding]:
    """Count the units whose strongest input is the noise that the ascent began with at all steps shown."""
    if "maximum_response" not in result or result.sizes["step"] < 2:
        return []
    inputs = result["maximum_response"]
    axes = [dim for dim in inputs.dims if dim not in ("run", "unit", "step")]
    same = (inputs == inputs.isel(step=0)).all([*axes, "step"])
    count = int(same.sum())
    if not count:
        return []
    panel = "maximum_response" if is_image(inputs) else ""
    units = f"{count} of {same.size} units of `{result.attrs.get('layer', '')}`"
    return [Finding(f"The maximizing inputs of {units} are identical at all steps shown.", panel)]


def _of(result: xr.Dataset, name: str) -> str:
    """Return what a map attributes."""
    objective = str(result.attrs.get("objective", ""))
    if name == "grad_cam":
        return " of the predicted class" if objective == "predicted_logit" else " of the label" if objective else ""
    return f" of the {OBJECTIVES[objective]}" if objective in OBJECTIVES else ""


def _called(name: str) -> str:
    return MAPS[name] if name == "grad_cam" else f"The {MAPS.get(name, name)}"
