"""Findings on gradients near zero."""

import numpy as np
import xarray as xr

from trajlab.figures.marks.selection import choose
from trajlab.reports.findings.finding import Finding, most_in, unknown
from trajlab.statistics.extremes import extreme, in_run, last, size_in
from trajlab.statistics.wording import count, share

HEADLINES = ("fraction_near_zero", "fraction_released", "fraction_captured", "always_zero")

HALF = 0.5

LASTING = 0.95
"""A state lasts if it begins before this share of the steps."""


def zero_gradients(result: xr.Dataset) -> list[Finding]:
    """Report where gradients are near zero, since when, whether they leave that state, and what never had any."""
    return [
        *_near(result),
        *_since(result),
        *_leaving(result),
        *_never(result),
        *unknown(result, "weight_change"),
    ]


def _near(result: xr.Dataset) -> list[Finding]:
    if "parameter" not in result.dims:
        return []
    array, which = choose(result, "fraction_near_zero", keep=("run", "parameter", "step"))
    end = last(array)
    most = extreme(end)
    total = "total_fraction_near_zero" if "total_fraction_near_zero" in result else "fraction_near_zero"
    if most is None:
        return []
    if most.value == 0:
        return [Finding(f"No gradient entry is near zero ({which}) at the end.", "near_zero")]
    entries = f"{share(most.value)} of the gradient entries of `{most.at['parameter']}`"
    text = f"At the end {entries} are near zero ({which}){in_run(most)}; of the whole network "
    ends = last(choose(result, total, keep=("run", "step")).array)
    least, top = extreme(ends, least=True), extreme(ends)
    if least is None or top is None:
        return []
    if least.at == top.at:
        text += share(top.value)
    else:
        text += f"{share(least.value)} (`{least.at['run']}`) to {share(top.value)} (`{top.at['run']}`)"
    return [Finding(f"{text}.", "near_zero")]


def _since(result: xr.Dataset) -> list[Finding]:
    """Report from which step on half of a network's gradients stay near zero."""
    name = "total_fraction_near_zero" if "total_fraction_near_zero" in result else "fraction_near_zero"
    if "parameter" in result[name].dims:
        return []
    array = choose(result, name, keep=("run", "step")).array
    rows = array if "run" in array.dims else array.expand_dims(run=[""])
    stuck = {}
    for run in rows["run"].values:
        line = rows.sel(run=run).dropna("step")
        below = np.flatnonzero(line.values < HALF)
        start = int(below[-1]) + 1 if below.size else 0
        if start < LASTING * line.size:
            stuck[str(run)] = int(line["step"].values[start])
    if not stuck:
        return []
    run, step = min(stuck.items(), key=lambda item: item[1])
    where = f" in run `{run}`" if run else ""
    more = f", and later in {count(len(stuck) - 1, 'other run')}" if len(stuck) > 1 else ""
    return [
        Finding(f"From step {step:,} on more than half of all gradient entries stay near zero{where}{more}.", "total")
    ]


def _leaving(result: xr.Dataset) -> list[Finding]:
    name = "total_fraction_released" if "total_fraction_released" in result else "fraction_released"
    if "parameter" in result[name].dims:
        return []
    rate = choose(result, name, keep=("run", "step")).array.mean("step")
    low, high = extreme(rate, least=True), extreme(rate)
    if low is None or high is None:
        return []
    spread = share(low.value) if low.at == high.at else f"{share(low.value)} to {share(high.value)}, by run,"
    return [
        Finding(
            f"Of the entries near zero, {spread} have left that state one recorded step later (mean over steps).",
            "flow",
        )
    ]


def _never(result: xr.Dataset) -> list[Finding]:
    if "parameter" not in result.dims:
        return []
    counts = result["always_zero"]
    if not bool(result["fraction_near_zero"].notnull().any()):
        return []
    point = extreme(counts.sum(["parameter", "cause"]))
    if point is None or point.value == 0:
        return [Finding("Every recorded entry had a gradient at some step.", "total")]
    here = counts.sel(point.at)
    row, cause = extreme(here.sum("cause")), extreme(here.sum("parameter"))
    whole_size = size_in(result["sampled"] if "sampled" in result.coords else result["numel"], point)
    entries = f"{count(point.value, 'recorded entry')} ({share(point.value / whole_size)})"
    text = f"{entries} never had a gradient{in_run(point)}"
    if row and cause:
        words = str(cause.at["cause"]).replace("_", " ")
        text += f", {most_in(row, point)}; the main cause is “{words}”"
    return [Finding(f"{text}.", "always_zero")]
