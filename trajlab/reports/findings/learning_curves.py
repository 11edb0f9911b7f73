"""Findings on the metrics that training logged."""

import numpy as np
import xarray as xr

from trajlab.figures.learning_curves import of_role
from trajlab.reports.findings.finding import CERTAIN, Finding
from trajlab.statistics.extremes import extreme, in_run, last
from trajlab.statistics.wording import number, share

HEADLINES = ("final_training_loss", "final_validation_loss", "lowest_validation_loss")

WORSE = 0.02
"""Share by which the validation loss ends above its lowest from which on it is a surprise."""


def headline_data(result: xr.Dataset) -> xr.Dataset:
    """Return the last smoothed training loss, and the last and the lowest validation loss."""
    data = {}
    for role, name in (("training loss", "final_training_loss"), ("validation loss", "final_validation_loss")):
        if metrics := of_role(result, role):
            array = result["smoothed" if role == "training loss" else "value"].sel(metric=metrics[0], drop=True)
            data[name] = last(array).assign_attrs(long_name=f"last {role}", units="1")
            if role == "validation loss":
                data["lowest_validation_loss"] = array.min("step").assign_attrs(
                    long_name="lowest validation loss", units="1"
                )
    return xr.Dataset(data, attrs=result.attrs)


def learning_curves(result: xr.Dataset) -> list[Finding]:
    """Report how the loss fell, where validation was best, and a loss that is NaN or Inf."""
    return [*_nonfinite(result), *_training(result), *_validation(result)]


def _nonfinite(result: xr.Dataset) -> list[Finding]:
    findings = []
    for name in of_role(result, "training loss", "validation loss", "gradient norm"):
        bad = result["nonfinite"].sel(metric=name) > 0
        if not bool(bad.any()):
            continue
        on_step = bad.any("run") if "run" in bad.dims else bad
        step = int(on_step["step"].values[int(on_step.argmax("step"))])
        runs = int(bad.any("step").sum()) if "run" in bad.dims else 0
        more = f" in {runs} of {bad.sizes['run']} runs" if runs else ""
        findings.append(Finding(f"`{name}` is NaN or Inf from step {step:,} on{more}.", "loss", True, CERTAIN))
    return findings


def _training(result: xr.Dataset) -> list[Finding]:
    names = of_role(result, "training loss")
    if not names:
        return []
    array = result["smoothed"].sel(metric=names[0])
    known = array.dropna("step", how="all")
    if known.sizes["step"] < 2:
        return []
    if "run" in array.dims:
        ends = last(array)
        best, worst = extreme(ends, least=True), extreme(ends)
        if best is None or worst is None or best.at == worst.at:
            return []
        text = f"The training loss ends lowest{in_run(best)}, {number(best.value)}, and highest{in_run(worst)}"
        return [Finding(f"{text}, {number(worst.value)} (smoothed).", "loss")]
    first, final = float(known.isel(step=0)), float(known.isel(step=-1))
    verb = "fell" if final < first else "rose"
    steps = known["step"].values
    text = (
        f"The training loss {verb} from {number(first)} at step {steps[0]:,} to {number(final)} at step {steps[-1]:,}"
    )
    return [Finding(f"{text} (smoothed).", "loss")]


def _validation(result: xr.Dataset) -> list[Finding]:
    names = of_role(result, "validation loss")
    if not names or "run" in result.dims:
        return []
    known = result["value"].sel(metric=names[0]).dropna("step")
    known = known.isel(step=np.isfinite(known.values))
    if known.sizes["step"] < 2:
        return []
    at = int(known.argmin("step"))
    lowest, final = float(known[at]), float(known[-1])
    where = f"{number(lowest)} at step {int(known['step'][at]):,}"
    if at == known.sizes["step"] - 1 or lowest <= 0:
        return [Finding(f"The validation loss is lowest at the end: {where}.", "loss")]
    above = final / lowest - 1
    text = f"The validation loss was lowest, {where}, and ends {share(above)} above that, at {number(final)}"
    return [Finding(f"{text}.", "loss", surprise=above / WORSE)]
