"""Findings on loss, accuracy and pruning."""

import numpy as np
import xarray as xr

from trajlab.reports.findings.finding import CERTAIN, Finding, nonfinite
from trajlab.statistics.extremes import by_group, extreme, in_run, last, typical
from trajlab.statistics.wording import count, listed, number, share

HEADLINES = ("loss", "accuracy", "macro_f1", "train_accuracy", "accuracy_gap", "prunable_share")

POINT = 0.01
"""Smallest difference of accuracies that is reported."""

FEW = 3
"""Classes up to which each is named."""

WORSE = 1.2
"""Factor of the final loss over the lowest from which on a rise is reported."""


def evaluation(result: xr.Dataset) -> list[Finding]:
    """Report the best runs at the end, rises of the loss, the worst class, and the cost of pruning."""
    parts = (_end, _perplexity, _risen, _gap, _class, _pruning)
    return [*nonfinite(result, "loss", "outputs"), *(finding for part in parts for finding in part(result))]


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
    if medians := by_group(end):
        low, high = sorted(medians, key=medians.__getitem__)[:: len(medians) - 1]
        top, bottom = (low, high) if name == "loss" else (high, low)
        if wording(medians[top]) != wording(medians[bottom]):
            text = f"The {words} ends best with `{top}` ({wording(medians[top])}), worst with `{bottom}`"
            return [Finding(f"{text} ({wording(medians[bottom])}; medians of runs that differ in their seed).", name)]
    text = f"The {words} ends at {wording(float(typical(end)))} in the median run, best{in_run(best)}"
    return [Finding(f"{text} ({wording(best.value)}), worst{in_run(worst)} ({wording(worst.value)}).", name)]


def _perplexity(result: xr.Dataset) -> list[Finding]:
    """Report the perplexity of sequences at the end, and how the loss depends on the position."""
    if "perplexity" not in result:
        return []
    end = float(typical(_at_end(result, "perplexity")))
    if not np.isfinite(end):
        return []
    runs = " (median of the runs)" if "run" in result.dims else ""
    findings = [Finding(f"The perplexity ends at {number(end)}{runs}.", "perplexity")]
    losses = typical(_at_end(result, "position_loss"))
    low, high = extreme(losses, least=True), extreme(losses)
    if low is not None and high is not None and low.at != high.at:
        text = f"The loss at the end is lowest at position {low.at['position']}, {number(low.value)}, and highest at"
        text += f" position {high.at['position']}, {number(high.value)}{runs}."
        findings.append(Finding(text, "position_loss"))
    return findings


def _risen(result: xr.Dataset) -> list[Finding]:
    loss = result["loss"]
    if not bool(loss.notnull().any()):
        return []
    ratio = _at_end(result, "loss") / loss.min("step")
    at_once = loss.fillna(np.inf).argmin("step") == loss.notnull().argmax("step")
    parts = (ratio.where(~at_once), "again", "it was least at step {step:,} ({least}) and ends at {end}"), (
        ratio.where(at_once), "from the start", "{least} to {end}"
    )  # fmt: skip
    return [finding for part in parts if (finding := _rise(loss, *part)) is not None]


def _rise(loss: xr.DataArray, ratio: xr.DataArray, words: str, template: str) -> Finding | None:
    """Report of how many runs the loss rose, and of the one where it did most from where to where."""
    point = extreme(ratio)
    if point is None or point.value < WORSE:
        return None
    of_run = loss.sel(run=point.at["run"]) if "run" in point.at else loss
    step = int(of_run["step"].values[int(np.nanargmin(of_run.values))])
    rose = int((ratio >= WORSE).sum())
    where = f" in {rose} of {count(ratio.size, 'run')}, most{in_run(point)}" if rose > 1 else in_run(point)
    ends = template.format(step=step, least=number(float(of_run.min())), end=number(float(last(of_run))))
    surprise = np.log(point.value) / np.log(WORSE) if np.isfinite(point.value) else CERTAIN
    return Finding(f"The loss rose {words}{where}: {ends}.", "loss", surprise=surprise)


def _class(result: xr.Dataset) -> list[Finding]:
    if "class_accuracy" not in result or "perplexity" in result:
        return []
    end = typical(_at_end(result, "class_accuracy"))
    worst, best = extreme(end, least=True), extreme(end)
    if worst is None or best is None or worst.at == best.at:
        return []
    runs = " (medians of the runs)" if "run" in result.dims else ""
    if share(worst.value) == share(best.value):
        return []
    lowest, highest = (_classes(end, share(value)) for value in (worst.value, best.value))
    text = f"The accuracy at the end is lowest on {lowest}, {share(worst.value)}, and highest on {highest},"
    return [Finding(f"{text} {share(best.value)}{runs}.", "class_accuracy")]


def _classes(end: xr.DataArray, written: str) -> str:
    """Name the classes of a given accuracy, or count many."""
    same = [str(label) for label, value in zip(end["class"].values, end.values, strict=True) if share(value) == written]
    if len(same) == 1:
        return f"class {same[0]}"
    return f"classes {listed(same)}" if len(same) <= FEW else f"{len(same)} of {end.size} classes"


def _gap(result: xr.Dataset) -> list[Finding]:
    """Report the generalization gap of the accuracy."""
    if "accuracy_gap" not in result:
        return []
    end = _at_end(result, "accuracy_gap")
    point, middle = extreme(abs(end)), float(typical(end))
    if point is None or max(point.value, abs(middle)) < POINT:
        return []
    usual = f"{_points(abs(middle))} {_side(middle)}" if abs(middle) >= POINT else "within a point of"
    text = f"The accuracy on training examples ends {usual} that on the probe"
    if "run" in point.at:
        value = float(end.sel(run=point.at["run"]))
        text += f" (median of the runs), with the largest gap{in_run(point)} ({_points(point.value)} {_side(value)})"
    return [Finding(f"{text}.", "gap")]


def _side(value: float) -> str:
    return "above" if value >= 0 else "below"


def _pruning(result: xr.Dataset) -> list[Finding]:
    """Report at which sparsity the accuracy falls by more than a point, at the end."""
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
        text = f"No tested pruning, of up to {share(most.value)} of the weights"
        return [Finding(f"{text}, costs more than a point of accuracy at the end.", "pruning")]
    run = {"run": least.at["run"]} if "run" in least.at else {}
    put = float(beyond.sel(run))
    fall = _points(float(cost.sel(run)[int(np.argmax(shares.sel(run).values == put))]))
    text = f"Pruning {share(put)} of the weights costs {fall} of accuracy at the end{in_run(least)}"
    text += f", {share(least.value)} at most one" if least.value > 0 else ", and less was not tested"
    most = extreme(kept)
    if most and most.value > least.value:
        text += f"; most can be pruned{in_run(most)} ({share(most.value)})"
    return [Finding(f"{text}.", "pruning")]


def _at_end(result: xr.Dataset, name: str) -> xr.DataArray:
    """Return a quantity at the last snapshot of each run, NaN for a run that has diverged."""
    return last(result[name], has_value=result["nonfinite"].notnull() if "nonfinite" in result else None)


def _points(value: float) -> str:
    """Write a difference of shares in points.

    >>> _points(0.034), _points(0.01), _points(-0.2)
    ('3.4 points', '1 point', '-20 points')
    """
    points = number(round(100 * value, 1))
    return f"{points} point" if points == "1" else f"{points} points"
