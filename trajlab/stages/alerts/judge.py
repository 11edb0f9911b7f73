"""All rules on all evidence, as one dataset."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from trajlab.stages.alerts.evidence import Evidence
from trajlab.stages.alerts.rule import Rule, Verdict


def judge(evidence: Iterable[Evidence], rules: Sequence[Rule], settings: Mapping[str, Any]) -> xr.Dataset:
    """Check every rule wherever there is the evidence that it asks for.

    Parameters
    ----------
    evidence
        What is known of each parameter, layer and metric.
    rules
        The rules.
    settings
        Settings of the stage, from which rules take their thresholds by name.
    """
    everywhere = list(evidence)
    checks = [
        (rule.name, each, verdict)
        for rule in rules
        for each in everywhere
        for function in rule.judge
        if (verdict := _verdict(function, each.columns, settings)) is not None
    ]
    steps = np.unique(np.concatenate([np.empty(0, np.int64), *(each.columns["steps"] for _, each, _ in checks)]))
    value, fires = np.full((2, len(steps), len(checks)), np.nan)
    for i, (_, each, verdict) in enumerate(checks):
        rows = np.searchsorted(steps, each.columns["steps"])
        value[rows, i] = verdict.value
        fires[rows, i] = np.where(np.isnan(verdict.value), np.nan, verdict.fires)
    of_rule = np.array([[name == rule.name for name, _, _ in checks] for rule in rules], bool)
    fired = (of_rule & (fires == 1).any(0)).sum(1)
    checked = (of_rule & np.isfinite(fires).any(0)).sum(1)
    reasons = [_reason(rule, bool(of.any()), int(n)) for rule, of, n in zip(rules, of_rule, checked, strict=True)]
    columns = {
        "fires": (("step", "check"), fires),
        "value": (("step", "check"), value),
        "checked": ("rule", checked),
        "fired": ("rule", fired),
        "reason": ("rule", np.array(reasons, dtype=object)),
        "rules_fired": ((), np.asarray((fired > 0).sum())),
    }
    labels = {
        "step": ("step", steps.astype(np.int64), {"long_name": "optimizer step", "units": "1"}),
        "check": np.array([f"{rule} {each.place}" for rule, each, _ in checks], dtype=object),
        "rule_of": ("check", np.array([rule for rule, _, _ in checks], dtype=object)),
        "place_of": ("check", np.array([each.place for _, each, _ in checks], dtype=object)),
        "kind_of": ("check", np.array([each.kind for _, each, _ in checks], dtype=object)),
        "rule": np.array([rule.name for rule in rules], dtype=object),
    }
    return xr.Dataset(columns | _spans(steps, fires), labels)


def _verdict(
    function: Callable[..., Verdict], columns: Mapping[str, np.ndarray], settings: Mapping[str, Any]
) -> Verdict | None:
    """Call a function of a rule; None where there is not all the evidence that its positional parameters name."""
    parameters = inspect.signature(function).parameters.values()
    evidence = [parameter.name for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]
    if not set(evidence) <= set(columns):
        return None
    thresholds = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    set_thresholds = {name: settings[name] for name in thresholds if name in settings}
    return function(*(columns[name] for name in evidence), **set_thresholds)


def _reason(rule: Rule, evidence: bool, checked: int) -> str:
    """Return why a rule was not checked; empty if it was."""
    if checked:
        return ""
    return "the run has too few snapshots or values" if evidence else f"the run has no {rule.needs}"


def _spans(steps: np.ndarray, fires: np.ndarray) -> dict[str, tuple[str, np.ndarray]]:
    """Return the first and last step at which each check fires, and its largest number of checked steps in a row."""
    first, last = np.full((2, fires.shape[1]), np.nan)
    longest = np.zeros(fires.shape[1])
    for i, column in enumerate(fires.T):
        fired_at = steps[column == 1]
        if fired_at.size:
            first[i], last[i] = fired_at[0], fired_at[-1]
            quiet = np.flatnonzero(np.concatenate([[True], column[np.isfinite(column)] == 0, [True]]))
            longest[i] = np.diff(quiet).max() - 1
    return {"first_step": ("check", first), "last_step": ("check", last), "duration": ("check", longest)}
