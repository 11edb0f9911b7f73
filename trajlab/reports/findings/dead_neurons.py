"""Findings on dead, dying and revived units."""

import numpy as np
import xarray as xr

from trajlab.reports.findings.finding import Finding, nonfinite
from trajlab.statistics.extremes import extreme, in_run, last, total_of, typical
from trajlab.statistics.wording import count, listed, share

HEADLINES = (
    "fraction_dead",
    "fraction_near_dead",
    "fraction_dormant",
    "fraction_ever_died",
    "fraction_died_for_good",
    "fraction_gradient_dead",
    "fraction_weight_static",
)

MANY = 0.2
"""Share of dead units from which on it is a surprise."""

MOST_NAMED = 6
"""Layers that a finding names."""


def dead_neurons(result: xr.Dataset) -> list[Finding]:
    """Report where most units are dead at the end, how many ever died or came back, when and where."""
    names = {"fraction_dead": "dead", "fraction_gradient_dead": "without gradient"}
    variable = next((name for name in names if name in result), None)
    findings = nonfinite(result, variable or "", "activations")
    return [
        *findings,
        *(_end(result, variable, names[variable]) if variable else []),
        *_lives(result),
        *_first(result),
        *_dying(result),
        *_left_out(result),
    ]


def _left_out(result: xr.Dataset) -> list[Finding]:
    """Name layers whose units cannot be dead or are unknown, and activations that cannot be observed."""
    findings = []
    for start, words in (("never", "Units of {} cannot be dead"), ("unknown", "Dead units of {} are unknown")):
        reasons = {layer: reason for layer, reason in _dead_at(result).items() if reason.startswith(start)}
        if reasons:
            names = listed([f"`{layer}`" for layer in list(reasons)[:MOST_NAMED]])
            names += f" and {len(reasons) - MOST_NAMED} more" if len(reasons) > MOST_NAMED else ""
            why = listed(list(dict.fromkeys(reason.partition(": ")[2] for reason in reasons.values())))
            findings.append(Finding(f"{words.format(names)}: {why}.", "fraction_dead"))
    if result.attrs.get("unobserved"):
        findings.append(Finding(f"Activations that cannot be observed: {result.attrs['unobserved']}.", "fraction_dead"))
    return findings


def _dead_at(result: xr.Dataset) -> dict[str, str]:
    """Return when units of each layer are dead, in words."""
    if "dead_at" not in result.coords or "layer" not in result.dims:
        return {}
    words = result["dead_at"]
    words = words.isel({dim: 0 for dim in words.dims if dim != "layer"})
    return dict(zip(map(str, words["layer"].values), map(str, words.values), strict=True))


def _end(result: xr.Dataset, name: str, word: str) -> list[Finding]:
    ever = extreme(result[name])
    if ever is None:
        return []
    if ever.value == 0:
        return [
            Finding(f"No unit is {word} at any recorded step{' in any run' if 'run' in result.dims else ''}.", name)
        ]
    findings, total = [], total_of(result, name)
    point = None if total is None else extreme(last(total))
    if point is not None and point.value > 0:
        text = f"At the end {share(point.value)} of the units are {word}{in_run(point)}"
        runs = last(total).values if total is not None and "run" in total.dims else None
        if runs is not None and np.isfinite(runs).sum() > 1:
            text += f", the most of all runs; the median is {share(float(np.nanmedian(runs)))}"
        findings.append(Finding(f"{text}.", "total", surprise=point.value / MANY))
    start = None if total is None else extreme(typical(total.dropna("step", how="all").isel(step=slice(1))))
    if start is not None and start.value > 0:
        median = " (median of the runs)" if "run" in result.dims else ""
        text = f"At step {start.at['step']:,} already {share(start.value)} of the units are {word}{median}."
        findings.append(Finding(text, "total"))
    layer = extreme(last(result[name])) if "layer" in result.dims else None
    if layer is not None and layer.value > 0:
        text = f"{_fed(result, layer.at['layer'])} has the largest share of units {word} at the end{in_run(layer)}"
        findings.append(Finding(f"{text}: {share(layer.value)}.", name, surprise=layer.value / MANY))
    return findings


def _first(result: xr.Dataset) -> list[Finding]:
    if "died" not in result or "layer" not in result.dims:
        return []
    died = result["died"]
    on_step = (died > 0).any([dim for dim in died.dims if dim != "step"])
    if not bool(on_step.any()):
        return []
    step = on_step["step"].values[int(on_step.argmax("step"))]
    point = extreme(died.sel(step=step))
    if point is None:
        return []
    text = (
        f"The first units die by step {step:,}: {int(point.value)} in {_fed(result, point.at['layer'])}{in_run(point)}."
    )
    return [Finding(text, "turnover")]


def _fed(result: xr.Dataset, layer: str) -> str:
    """Name a layer; one that is named by a mere position with the module that feeds it."""
    if "source" not in result.coords or not layer.rpartition(".")[2].isdigit():
        return f"`{layer}`"
    source = str(result["source"].sel(layer=layer).isel(run=0, missing_dims="ignore").item())
    return f"`{layer}` (fed by `{source}`)" if source else f"`{layer}`"


def _lives(result: xr.Dataset) -> list[Finding]:
    """Report how many units were ever dead, and what became of those that died; each unit counts once in a run."""
    if "deaths" not in result:
        return []
    reasons = _dead_at(result)
    mortal = [not reasons.get(str(layer), "").startswith("never") for layer in result["layer"].values]
    has_units = result["deaths"].notnull() & xr.DataArray(mortal, dims="layer")
    ever, never = result["dead_steps"] > 0, has_units & result["first_active"].isnull()
    died, back = result["deaths"] > 0, result["revivals"] > 0
    for_good = died & (result["dead_at_end"] == 1)
    if not bool(ever.any()):
        return []
    runs = f" of {result.sizes['run']} runs" if result.sizes.get("run", 1) > 1 else ""
    parts = {
        "at every one": never,
        "only until they first became active": ever & ~never & ~died,
        "after they had been active": died,
    }
    counts = [f"{int(who.sum()):,} {words}" for words, who in parts.items() if bool(who.any())]
    text = f"{int(ever.sum()):,} of the {int(has_units.sum()):,} units{runs} were dead at some snapshot"
    text = f"{text}: {listed(counts)}."
    findings = [Finding(text, "lives")]
    if bool(died.any()):
        again = int((for_good & back).sum())
        text = f"Of the {count(int(died.sum()), 'unit')} that died after having been active, {_many(died & back)} came "
        text += f"back to life, and {_many(for_good)} {'was' if int(for_good.sum()) == 1 else 'were'} dead at the end"
        text += f", {again:,} of them after coming back" if again else ""
        findings.append(Finding(f"{text}.", "lives"))
    return findings


def _many(who: xr.DataArray) -> str:
    return f"{int(who.sum()):,}" if bool(who.any()) else "none"


def _dying(result: xr.Dataset) -> list[Finding]:
    """Report in which layer the most units ever died."""
    if "fraction_ever_died" not in result or "layer" not in result.dims:
        return []
    point = extreme(result["fraction_ever_died"])
    if point is None or point.value == 0:
        return []
    text = f"In {_fed(result, point.at['layer'])}{in_run(point)} the largest share of units ever died"
    return [Finding(f"{text} after having been active: {share(point.value)}.", "survival")]
