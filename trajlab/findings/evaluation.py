"""What stands out in how well the network does on the probe."""

import numpy as np
import xarray as xr

from trajlab.findings.looking import Finding, extreme, in_run, last, nonfinite, typical
from trajlab.findings.wording import number, share

HEADLINES = ("loss", "accuracy", "macro_f1", "train_accuracy", "accuracy_gap", "prunable_share")

WORSE = 1.2
"""A loss at the end that is this factor above the least on the way is told."""


def evaluation(result: xr.Dataset) -> list[Finding]:
    """Say who is best at the end, whether the loss rose again, which class is worst, and what pruning costs."""
    parts = (_end, _risen, _gap, _class, _pruning)
    return [*nonfinite(result, "loss", "outputs"), *(found for part in parts for found in part(result))]


def _end(result: xr.Dataset) -> list[Finding]:
    name, words = ("accuracy", "accuracy on the probe") if "accuracy" in result else ("loss", "loss on the probe")
    wording = share if name == "accuracy" else number
    end = _at_end(result, name)
    best, worst = extreme(end, least=name == "loss"), extreme(end, least=name == "accuracy")
    if best is None or worst is None:
        return []
    if "run" not in result.dims:
        return [Finding(f"The {words} ends at {wording(best.value)}.", name)]
    if wording(best.value) == wording(worst.value):
        runs = "every run" if bool(end.notnull().all()) else "each run that did not diverge"
        return [Finding(f"The {words} ends at {wording(best.value)} in {runs}.", name)]
    text = f"The {words} ends at {wording(float(typical(end)))} in the median run, best{in_run(best)}"
    return [Finding(f"{text} ({wording(best.value)}), worst{in_run(worst)} ({wording(worst.value)}).", name)]


def _risen(result: xr.Dataset) -> list[Finding]:
    loss = result["loss"]
    if not bool(loss.notnull().any()):
        return []
    place = extreme(_at_end(result, "loss") / loss.min("step"))
    if place is None or place.value < WORSE:
        return []
    own = loss.sel(run=place.at["run"]) if "run" in place.at else loss
    least = int(own["step"].values[int(np.nanargmin(own.values))])
    text = f"The loss rose again{in_run(place)}: it was least at step {least:,} ({number(float(own.min()))})"
    return [Finding(f"{text} and ends at {number(float(last(own)))}.", "loss")]


def _class(result: xr.Dataset) -> list[Finding]:
    if "class_accuracy" not in result:
        return []
    end = typical(_at_end(result, "class_accuracy"))
    worst, best = extreme(end, least=True), extreme(end)
    if worst is None or best is None or worst.at == best.at:
        return []
    runs = " (medians of the runs)" if "run" in result.dims else ""
    text = f"Class {worst.at['class']} is worst at the end: {share(worst.value)} of its targets are answered right"
    return [Finding(f"{text}, of class {best.at['class']} {share(best.value)}{runs}.", "class_accuracy")]


def _gap(result: xr.Dataset) -> list[Finding]:
    """Say how much better training examples are answered."""
    if "accuracy_gap" not in result:
        return []
    end = _at_end(result, "accuracy_gap")
    place, middle = extreme(end), float(typical(end))
    if place is None:
        return []
    words = "more" if middle >= 0 else "less"
    text = f"Training examples are answered right {_points(abs(middle))} {words} often than the probe at the end"
    if "run" in place.at:
        text += f" (median of the runs), with the largest gap{in_run(place)} ({_points(place.value)})"
    return [Finding(f"{text}.", "train_accuracy")]


def _pruning(result: xr.Dataset) -> list[Finding]:
    """Say at which sparsity the accuracy falls by more than a point, at the end."""
    if "prunable_share" not in result:
        return []
    names = ("pruned_share", "pruned_accuracy", "prunable_share", "accuracy")
    end = {name: _at_end(result, name) for name in names}
    shares, cost = end["pruned_share"], end["accuracy"] - end["pruned_accuracy"]
    kept = end["prunable_share"]
    beyond = shares.where(shares > kept).min("threshold")
    least = extreme(kept.where(beyond.notnull()), least=True)
    if least is None:
        most = extreme(shares.max("threshold"))
        if most is None:
            return []
        text = f"No pruning that was tried, of up to {share(most.value)} of the weights"
        return [Finding(f"{text}, costs more than a point of accuracy at the end.", "pruning")]
    one = {"run": least.at["run"]} if "run" in least.at else {}
    put = float(beyond.sel(one))
    fall = _points(float(cost.sel(one)[int(np.argmax(shares.sel(one).values == put))]))
    text = f"Putting {share(put)} of the weights to 0 costs {fall} of accuracy at the end{in_run(least)}"
    text += f", {share(least.value)} at most one" if least.value > 0 else ", and less was not tried"
    most = extreme(kept)
    if most and most.value > least.value:
        text += f"; most can be pruned{in_run(most)} ({share(most.value)})"
    return [Finding(f"{text}.", "pruning")]


def _at_end(result: xr.Dataset, name: str) -> xr.DataArray:
    """Give a quantity at the last snapshot of each run, NaN for a run that has diverged."""
    return last(result[name], known=result["nonfinite"].notnull() if "nonfinite" in result else None)


def _points(value: float) -> str:
    """Write a difference of shares in points.

    >>> _points(0.034), _points(0.01), _points(-0.2)
    ('3.4 points', '1 point', '-20 points')
    """
    points = number(round(100 * value, 1))
    return f"{points} point" if points == "1" else f"{points} points"
