"""All rules on all evidence, as one dataset."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from trajlab.stages.alerts.evidence import Evidence
from trajlab.stages.alerts.rules import NEEDS, RULES, prefix
from trajlab.stages.alerts.rules.verdict import Verdict


def _lacking(needs: str) -> str:
    """Say that what a rule needs is not there.

    >>> _lacking("loss or gradients"), _lacking("weights")
    ('there is no loss or gradients', 'there are no weights')
    """
    return f"there {'is' if needs.startswith(('loss', 'training')) else 'are'} no {needs}"


def judged(evidence: Iterable[Evidence], settings: Mapping[str, Any]) -> xr.Dataset:
    """Check every rule wherever there is what it asks for.

    Parameters
    ----------
    evidence
        What is known of each place.
    settings
        Thresholds; those of a rule begin with its name, as in `dead_relu_threshold_layer`.
    """
    known = list(evidence)
    found = [
        (rule, one, verdict)
        for rule, functions in RULES.items()
        for one in known
        for function in functions
        if (verdict := _judge(function, rule, one.known, settings)) is not None
    ]
    steps = np.unique(np.concatenate([np.empty(0, np.int64), *(one.known["steps"] for _, one, _ in found)]))
    value, fires = np.full((2, len(steps), len(found)), np.nan)
    for i, (_, one, verdict) in enumerate(found):
        at = np.searchsorted(steps, one.known["steps"])
        value[at, i] = verdict.value
        fires[at, i] = np.where(np.isnan(verdict.value), np.nan, verdict.fires)
    own = np.array([[rule == name for rule, _, _ in found] for name in RULES], bool)
    fired = (own & (fires == 1).any(0)).sum(1)
    reasons = ["" if any(of) else _lacking(NEEDS[name]) for name, of in zip(RULES, own, strict=True)]
    columns = {
        "fires": (("step", "check"), fires),
        "value": (("step", "check"), value),
        "checked": ("rule", (own & np.isfinite(fires).any(0)).sum(1)),
        "fired": ("rule", fired),
        "reason": ("rule", np.array(reasons, dtype=object)),
        "rules_fired": ((), np.asarray((fired > 0).sum())),
    }
    labels = {
        "step": ("step", steps.astype(np.int64), {"long_name": "optimizer step", "units": "1"}),
        "check": np.array([f"{rule} {one.place}" for rule, one, _ in found], dtype=object),
        "rule_of": ("check", np.array([rule for rule, _, _ in found], dtype=object)),
        "place_of": ("check", np.array([one.place for _, one, _ in found], dtype=object)),
        "kind_of": ("check", np.array([one.kind for _, one, _ in found], dtype=object)),
        "rule": np.array(list(RULES), dtype=object),
    }
    return xr.Dataset(columns | _spans(steps, fires), labels)


def _judge(
    rule: Callable[..., Verdict], name: str, known: Mapping[str, np.ndarray], settings: Mapping[str, Any]
) -> Verdict | None:
    """Check a function of a rule; None if this is not the evidence that its positional parameters ask for."""
    parameters = inspect.signature(rule).parameters.values()
    asked = [one.name for one in parameters if one.kind is not one.KEYWORD_ONLY]
    if not set(asked) <= set(known):
        return None
    thresholds = {one.name: settings[f"{prefix(name)}_{one.name}"] for one in parameters if one.name not in asked}
    return rule(*(known[one] for one in asked), **thresholds)


def _spans(steps: np.ndarray, fires: np.ndarray) -> dict[str, tuple[str, np.ndarray]]:
    """Give the first and last step at which each check fires, and at how many checked steps in a row at most."""
    first, last = np.full((2, fires.shape[1]), np.nan)
    longest = np.zeros(fires.shape[1])
    for i, column in enumerate(fires.T):
        burning = steps[column == 1]
        if burning.size:
            first[i], last[i] = burning[0], burning[-1]
            quiet = np.flatnonzero(np.concatenate([[True], column[np.isfinite(column)] == 0, [True]]))
            longest[i] = np.diff(quiet).max() - 1
    return {"first_step": ("check", first), "last_step": ("check", last), "duration": ("check", longest)}
