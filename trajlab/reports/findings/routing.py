"""Findings on the routing of a mixture of experts."""

import xarray as xr

from trajlab.reports.findings.finding import Finding, largest_changes, nonfinite
from trajlab.statistics.extremes import extreme, in_run, last
from trajlab.statistics.wording import number, share

HEADLINES = ("load_entropy", "relative_entropy", "dropped", "similarity")

UNEVEN = 2.0
"""Smallest ratio of a load to the even load, or of the even load to a load, that is reported."""

CHANGE = 0.1
"""Smallest change of a share that is reported."""


def routing(result: xr.Dataset) -> list[Finding]:
    """Report the experts of largest and smallest load, dropped choices, and changes of routers and experts."""
    findings = nonfinite(result, "load_entropy", "scores of routers")
    return [*findings, *_load(result), *_dropped(result), *_changed(result)]


def _load(result: xr.Dataset) -> list[Finding]:
    end = last(result["expert_load"]) * result["experts"]  # 1 is even; layers may have different numbers of experts
    most, least = extreme(end), extreme(end, least=True)
    if most is None or least is None or (most.value < UNEVEN and least.value > 1 / UNEVEN):
        return []
    text = f"Expert {int(most.at['expert'])} of `{most.at['layer']}`{in_run(most)} gets {number(most.value)} times the "
    text += f"even load at the end, and expert {int(least.at['expert'])} of `{least.at['layer']}`{in_run(least)} "
    return [Finding(f"{text}{number(least.value)} times.", "load")]


def _dropped(result: xr.Dataset) -> list[Finding]:
    point = extreme(last(result["dropped"]))
    if point is None or not point.value:
        return []
    return [
        Finding(
            f"With a capacity of {result.attrs['capacity_factor']:g} times the even load, {share(point.value)} of the "
            f"choices in `{point.at['layer']}`{in_run(point)} would be dropped at the end.",
            "load",
        )
    ]


def _changed(result: xr.Dataset) -> list[Finding]:
    texts = {
        "relative_entropy": ("The entropy of the router", share, "relative_entropy"),
        "load_entropy": ("The evenness of the load", share, "load_entropy"),
        "similarity": ("The similarity of experts", number, "similarity"),
    }
    return [
        Finding(f"{what} {verb} most in `{point.at['layer']}`{in_run(point)}: from {say(before)} to {say(after)}.", key)
        for name, (what, say, key) in texts.items()
        for verb, point, before, after in largest_changes(result[name], CHANGE)
    ]
