"""Findings on the attention of heads."""

import xarray as xr

from trajlab.reports.findings.finding import Finding, largest_changes, nonfinite
from trajlab.statistics.extremes import Extreme, extreme, in_run, last
from trajlab.statistics.wording import number, share

HEADLINES = ("relative_entropy", "first", "largest", "distance")

CHANGE = 0.1
"""Smallest change of a share that is reported."""

EVEN = 0.99
"""Relative entropy from which on attention is called even."""

FAR = 1.1
"""Smallest ratio of the distances of two heads that is reported."""

SINK = 2.0
"""Multiple of uniform attention from which on a head is said to attend to the first token."""


def attention(result: xr.Dataset) -> list[Finding]:
    """Report the sharpest head, attention sinks, what changed most, and how far heads reach."""
    findings = nonfinite(result, "relative_entropy", "shares")
    return [*findings, *_sharpest(result), *_sink(result), *_changed(result), *_reach(result)]


def _head(point: Extreme) -> str:
    return f"head {int(point.at['head'])} of `{point.at['layer']}`{in_run(point)}"


def _sharpest(result: xr.Dataset) -> list[Finding]:
    end = last(result["relative_entropy"])
    low, high = extreme(end, least=True), extreme(end)
    if low is None or high is None:
        return []
    if low.value >= EVEN:
        entropy = f"{share(low.value)} of the entropy of uniform attention"
        return [Finding(f"All heads attend almost evenly at the end: at least {entropy}.", "heads")]
    text = f"Attention is sharpest in {_head(low)} at the end: {share(low.value)} of the entropy of uniform attention"
    text += f", {share(high.value)} in {_head(high)}" if high.at != low.at else ""
    return [Finding(f"{text}.", "heads")]


def _sink(result: xr.Dataset) -> list[Finding]:
    point = extreme(last(result["first"]))
    if point is None:
        return []
    uniform = float(last(result["uniform"]).sel(point.at))
    if point.value < SINK * uniform:
        return []
    text = f"{_head(point)} gives {share(point.value)} of its attention to the first token at the end"
    return [Finding(f"{text[:1].upper()}{text[1:]}; uniform attention would give {share(uniform)}.", "first")]


def _changed(result: xr.Dataset) -> list[Finding]:
    return [
        Finding(
            f"The relative entropy of attention {verb} most in {_head(point)}: from {share(before)} to {share(after)}.",
            "relative_entropy",
        )
        for verb, point, before, after in largest_changes(result["relative_entropy"], CHANGE)
    ]


def _reach(result: xr.Dataset) -> list[Finding]:
    end = last(result["distance"])
    near, far = extreme(end, least=True), extreme(end)
    if near is None or far is None or far.value < FAR * near.value:
        return []
    text = f"{_head(far)} looks farthest at the end, {number(far.value)} positions on average"
    text = f"{text[:1].upper()}{text[1:]}, {_head(near)} the least far, {number(near.value)}"
    return [Finding(f"{text}.", "distance")]
