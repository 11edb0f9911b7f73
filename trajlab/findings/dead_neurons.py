"""What stands out in the lives of units."""

import numpy as np
import xarray as xr

from trajlab.findings.looking import Finding, extreme, in_run, last, nonfinite, typical, whole
from trajlab.findings.wording import count, share

HEADLINES = (
    "fraction_dead",
    "fraction_near_dead",
    "fraction_dormant",
    "fraction_gradient_dead",
    "fraction_weight_static",
)


def dead_neurons(result: xr.Dataset) -> list[Finding]:
    """Say where most units are dead at the end, when units first died, and whether they came back."""
    names = {"fraction_dead": "dead", "fraction_gradient_dead": "without gradient"}
    known = next((name for name in names if name in result), None)
    found = nonfinite(result, known or "", "activations")
    return [*found, *(_end(result, known, names[known]) if known else []), *_first(result), *_back(result)]


def _end(result: xr.Dataset, name: str, word: str) -> list[Finding]:
    ever = extreme(result[name])
    if ever is None:
        return []
    if ever.value == 0:
        return [
            Finding(f"No unit is {word} at any recorded step{' in any run' if 'run' in result.dims else ''}.", name)
        ]
    found, total = [], whole(result, name)
    place = None if total is None else extreme(last(total))
    if place is not None and place.value > 0:
        text = f"At the end {share(place.value)} of the units are {word}{in_run(place)}"
        runs = last(total).values if total is not None and "run" in total.dims else None
        if runs is not None and np.isfinite(runs).sum() > 1:
            text += f", the most of all runs; the median is {share(float(np.nanmedian(runs)))}"
        found.append(Finding(f"{text}.", "total"))
    start = None if total is None else extreme(typical(total.dropna("step", how="all").isel(step=slice(1))))
    if start is not None and start.value > 0:
        median = " (median of the runs)" if "run" in result.dims else ""
        text = f"At step {start.at['step']:,} already {share(start.value)} of the units are {word}{median}."
        found.append(Finding(text, "total"))
    layer = extreme(last(result[name])) if "layer" in result.dims else None
    if layer is not None and layer.value > 0:
        text = f"{_fed(result, layer.at['layer'])} has the largest share of units {word} at the end{in_run(layer)}"
        found.append(Finding(f"{text}: {share(layer.value)}.", name))
    return found


def _first(result: xr.Dataset) -> list[Finding]:
    if "died" not in result or "layer" not in result.dims:
        return []
    died = result["died"]
    on_step = (died > 0).any([dim for dim in died.dims if dim != "step"])
    if not bool(on_step.any()):
        return []
    step = on_step["step"].values[int(on_step.argmax("step"))]
    place = extreme(died.sel(step=step))
    if place is None:
        return []
    text = (
        f"The first units die by step {step:,}: {int(place.value)} in {_fed(result, place.at['layer'])}{in_run(place)}."
    )
    return [Finding(text, "turnover")]


def _fed(result: xr.Dataset, layer: str) -> str:
    """Name a layer; one that is named by a mere position with the module that feeds it."""
    if "source" not in result.coords or not layer.rpartition(".")[2].isdigit():
        return f"`{layer}`"
    source = str(result["source"].sel(layer=layer).isel(run=0, missing_dims="ignore").item())
    return f"`{layer}` (fed by `{source}`)" if source else f"`{layer}`"


def _back(result: xr.Dataset) -> list[Finding]:
    died, revived = whole(result, "died"), whole(result, "revived")
    if died is None or revived is None or not bool((died > 0).any()):
        return []
    back = float(revived.sum())
    runs = f" over {result.sizes['run']} runs" if result.sizes.get("run", 1) > 1 else ""
    came = f"{int(back):,} came back" if back else "none came back"
    return [Finding(f"Units died {count(float(died.sum()), 'time')}{runs}; {came}.", "turnover")]
