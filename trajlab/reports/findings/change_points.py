"""Findings on what changed, when, and whether it stayed."""

import numpy as np
import xarray as xr

from trajlab.reports.findings.finding import CERTAIN, Finding
from trajlab.statistics.studies import run_names
from trajlab.statistics.unusual import Unusual, quantity_words, unusual_before, verb_words
from trajlab.statistics.wording import count

HEADLINES = ("total_changes",)

TOLD = 3
"""Beginnings of changes that are told, those furthest from the past first."""

NOTABLE = 6.0
"""Standard deviations that a change of a usual run needs."""

VISIBLE = 1e-3
"""Smallest relative change of a value that is told."""

TOGETHER = 5
"""Steps within which changes count as one."""


def headline_data(result: xr.Dataset) -> xr.Dataset:
    """Add the number of changes of all series."""
    attrs = {**result["changes"].attrs, "total": True}
    return result.assign(total_changes=result["changes"].sum("series", min_count=1).assign_attrs(attrs))


def change_points(result: xr.Dataset) -> list[Finding]:
    """Report the changes furthest from their past, what changed with them, and that nothing changed if so."""
    runs = run_names(result)
    if not bool(result["changes"].notnull().any()):
        few = int(result["value"].notnull().sum("step").max()) if result.sizes["series"] else 0
        return [Finding(f"No change can be told: no series has more than {count(few, 'value')}.")]
    if not bool((result["changes"] > 0).any()):
        many = f" of any of {count(len(runs), 'run')}" if runs else ""
        return [Finding(f"No weight norm, update, gradient norm or metric{many} ever left its own past.")]
    beginnings = []
    for i, run in enumerate(runs or [""]):
        of_run = result.isel(run=i) if runs else result
        steps = of_run["step"].values
        events = unusual_before(of_run, int(steps[-1]), first=int(steps[0]))
        beginnings += [(run, group) for group in _together([event for event in events if _is_visible(event)])]
    if not beginnings:
        return [Finding("What left its own past changed by less than 0.1 % of its value.", "begins")]
    beginnings.sort(key=lambda item: -max(abs(event.score) for event in item[1]))
    findings = [_finding(run, group) for run, group in beginnings[:TOLD]]
    if len(beginnings) > TOLD:
        text = f"In all, {count(len(beginnings), 'time')} at which something changed"
        over = f" in {count(len({run for run, _ in beginnings}), 'run')}" if runs else ""
        findings.append(Finding(f"{text}{over}.", "begins"))
    return findings


def _is_visible(event: Unusual) -> bool:
    """Return whether a change is more than rounding: a clipped gradient norm is constant up to its last digits."""
    if event.kind not in ("spike", "jump") or not np.isfinite([event.before, event.after]).all():
        return True
    return bool(abs(event.after - event.before) >= VISIBLE * max(abs(event.before), abs(event.after)))


def _together(events: list[Unusual]) -> list[list[Unusual]]:
    """Group events that begin within a few steps of the one before."""
    groups: list[list[Unusual]] = []
    for event in sorted(events, key=lambda event: event.step):
        if groups and event.step - groups[-1][-1].step <= TOGETHER:
            groups[-1].append(event)
        else:
            groups.append([event])
    return [sorted(group, key=events.index) for group in groups]


def _finding(run: str, group: list[Unusual]) -> Finding:
    lead = group[0]
    where = f" in run `{run}`" if run else ""
    places = {event.place for event in group[1:] if event.place != lead.place}
    more = f", then {count(len(places), 'other')} changed within {TOGETHER} steps" if places else ""
    scores = np.abs([event.score for event in group])
    size = float(np.max(np.where(np.isfinite(scores), scores, 0.0)))
    told = f" ({size:,.0f} standard deviations from its own past)" if size else ""
    most = group[int(np.argmax(np.where(np.isfinite(scores), scores, -1.0)))]
    peak = "" if most is lead else f"; most of all, {quantity_words(most)} {verb_words(most)}"
    text = f"Step {lead.step:,}{where}: {quantity_words(lead)} {verb_words(lead)}{more}{peak}{told}."
    return Finding(text, "begins", surprise=size / NOTABLE if size else CERTAIN)
