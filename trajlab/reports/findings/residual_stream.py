"""Findings on the residual stream."""

import numpy as np
import xarray as xr

from trajlab.reports.findings.finding import Finding, largest_changes, nonfinite
from trajlab.statistics.extremes import extreme, in_run, last
from trajlab.statistics.wording import count, number

HEADLINES = ("norm", "massive_ratio", "kurtosis", "effective_rank", "lens_loss")

GROWTH = 1.5
"""Smallest ratio of norms that is reported."""

STICKS_OUT = 100.0
"""Smallest ratio of the largest hidden value to the median that is reported."""


def residual_stream(result: xr.Dataset) -> list[Finding]:
    """Report massive activations, the block at which the loss falls most, growth of the norm, and loss of rank."""
    findings = nonfinite(result, "norm", "hidden values")
    return [*findings, *_massive(result), *_lens(result), *_growth(result), *_rank(result)]


def _massive(result: xr.Dataset) -> list[Finding]:
    point = extreme(last(result["massive_ratio"]))
    if point is None or point.value < STICKS_OUT:
        return []
    names = ("largest", "largest_position", "largest_unit", "massive")
    largest, position, unit, massive = (last(result[name]).sel(point.at).item() for name in names)
    text = f"Hidden values of `{point.at['layer']}`{in_run(point)} stick out most at the end, by up to "
    text += f"{number(point.value)} times the median of their sequence: the largest is {number(largest)}, at position "
    text += f"{position:.0f} and unit {unit:.0f}"
    text += f"; {count(massive, 'value')} there {'is' if massive == 1 else 'are'} massive" if massive else ""
    return [Finding(f"{text}.", "massive_ratio")]


def _lens(result: xr.Dataset) -> list[Finding]:
    if "lens_loss" not in result:
        return []
    end, run = _first_run_at_end(result["lens_loss"])
    falls = end.diff("layer").values
    if not len(falls) or not (falls < 0).any():
        return []
    at = int(np.nanargmin(falls)) + 1
    before, after = number(float(end[at - 1])), number(float(end[at]))
    if before == after:  # in the digits that are shown
        return []
    return [
        Finding(
            f"By the logit lens the loss falls most in `{end['layer'].values[at]}`{run} at the end: from {before} to "
            f"{after} nat.",
            "lens_loss",
        )
    ]


def _first_run_at_end(array: xr.DataArray) -> tuple[xr.DataArray, str]:
    """Return the last known values of the first run, (layer), and its name for a sentence; no name if it is alone."""
    end = last(array)
    return (end.isel(run=0), f" in run `{array['run'].values[0]}`") if "run" in end.dims else (end, "")


def _growth(result: xr.Dataset) -> list[Finding]:
    end, run = _first_run_at_end(result["norm"])
    first, at_end = float(end[0]), float(end[-1])
    if not (first > 0 and at_end / first >= GROWTH):
        return []
    return [
        Finding(
            f"The norm of hidden states grows from {number(first)} in `{end['layer'].values[0]}` to {number(at_end)} "
            f"in `{end['layer'].values[-1]}`{run} at the end.",
            "norm",
        )
    ]


def _rank(result: xr.Dataset) -> list[Finding]:
    return [
        Finding(
            f"The effective rank of hidden states {verb} most in `{point.at['layer']}`{in_run(point)}: from "
            f"{number(before)} to {number(after)}.",
            "effective_rank",
        )
        for verb, point, before, after in largest_changes(result["effective_rank"], 1.0)
        if verb == "fell"
    ]
