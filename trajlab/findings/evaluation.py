"""What stands out in how well the network does on the probe."""

import numpy as np
import xarray as xr

from trajlab.findings.looking import Finding, extreme, in_run, last, nonfinite, typical
from trajlab.findings.wording import number, share

HEADLINES = ("loss", "accuracy", "macro_f1")

WORSE = 1.2
"""A loss at the end that is this factor above the least on the way is told."""


def evaluation(result: xr.Dataset) -> list[Finding]:
    """Say who is best at the end, whether the loss rose again, and which class is worst."""
    return [*nonfinite(result, "loss", "outputs"), *_end(result), *_risen(result), *_class(result)]


def _end(result: xr.Dataset) -> list[Finding]:
    name, words = ("accuracy", "accuracy on the probe") if "accuracy" in result else ("loss", "loss on the probe")
    wording = share if name == "accuracy" else number
    end = last(result[name])
    best, worst = extreme(end, least=name == "loss"), extreme(end, least=name == "accuracy")
    if best is None or worst is None:
        return []
    if "run" not in result.dims:
        return [Finding(f"The {words} ends at {wording(best.value)}.", name)]
    if wording(best.value) == wording(worst.value):
        return [Finding(f"The {words} ends at {wording(best.value)} in every run.", name)]
    text = f"The {words} ends at {wording(float(typical(end)))} in the median run, best{in_run(best)}"
    return [Finding(f"{text} ({wording(best.value)}), worst{in_run(worst)} ({wording(worst.value)}).", name)]


def _risen(result: xr.Dataset) -> list[Finding]:
    loss = result["loss"]
    if not bool(loss.notnull().any()):
        return []
    place = extreme(last(loss) / loss.min("step"))
    if place is None or place.value < WORSE:
        return []
    own = loss.sel(run=place.at["run"]) if "run" in place.at else loss
    least = int(own["step"].values[int(np.nanargmin(own.values))])
    text = f"The loss rose again{in_run(place)}: it was least at step {least:,} ({number(float(own.min()))})"
    return [Finding(f"{text} and ends at {number(float(last(own)))}.", "loss")]


def _class(result: xr.Dataset) -> list[Finding]:
    if "class_accuracy" not in result:
        return []
    end = typical(last(result["class_accuracy"]))
    worst, best = extreme(end, least=True), extreme(end)
    if worst is None or best is None or worst.at == best.at:
        return []
    runs = " (medians of the runs)" if "run" in result.dims else ""
    text = f"Class {worst.at['class']} is worst at the end: {share(worst.value)} of its targets are answered right"
    return [Finding(f"{text}, of class {best.at['class']} {share(best.value)}{runs}.", "class_accuracy")]
