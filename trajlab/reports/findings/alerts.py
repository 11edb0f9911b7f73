"""Findings on the rules that fire."""

import numpy as np
import xarray as xr

from trajlab.reports.findings.finding import CERTAIN, Finding
from trajlab.statistics.studies import run_names
from trajlab.statistics.unusual import NETWORK
from trajlab.statistics.wording import count, listed

HEADLINES = ("rules_fired",)

BROKEN = ("ExplodingTensor",)
"""Rules that tell that something is broken."""

FIRED = 3.0
"""Surprise of a rule that fires: by default at most one healthy run in twenty does so."""


def alerts(result: xr.Dataset) -> list[Finding]:
    """Report how many rules fire, where each does so first, and which are quiet or were not checked."""
    fired = [finding for rule in map(str, result["rule"].values) if (finding := _fired(result, rule))]
    firing = sorted([*_most(result), *fired], key=lambda finding: not finding.alarm)
    return [*firing, *_quiet(result, bool(fired)), *_unchecked(result)]


def _most(result: xr.Dataset) -> list[Finding]:
    """Count the rules that fire, and name those that do so in most runs; nothing where the next sentences say it."""
    ever = result["fired"] > 0
    fires = {
        str(rule): int(ever.sel(rule=rule).sum()) for rule in ever["rule"].values if bool(ever.sel(rule=rule).any())
    }
    checked = int((result["checked"].sum([dim for dim in result["checked"].dims if dim != "rule"]) > 0).sum())
    if len(fires) < 2:
        return []
    text = f"{len(fires)} of {count(checked, 'rule')} fire"
    if "run" not in ever.dims:
        return [Finding(f"{text}: {listed([f'`{rule}`' for rule in fires])}.", "rules")]
    levels = {n: [f"`{rule}`" for rule in fires if fires[rule] == n] for n in sorted(fires.values(), reverse=True)}
    runs = count(ever.sizes["run"], "run")
    return [Finding(f"{text}: {'; '.join(f'{listed(levels[n])} in {n}' for n in levels)} of {runs}.", "rules")]


def _fired(result: xr.Dataset, rule: str) -> Finding | None:
    checks = np.flatnonzero(result["rule_of"].values == rule)
    first = result["first_step"].isel(check=checks)
    if not bool(first.notnull().any()):
        return None
    step = float(first.min())
    runs = run_names(result)
    at = np.argwhere(first.transpose(..., "check").values == step)[0]
    location = str(result["place_of"].values[checks[at[-1]]])
    where = "of the whole network" if location == NETWORK else f"of `{location}`"
    where += f" in run `{runs[at[0]]}`" if runs else ""
    ever = first.notnull()
    more = []
    if int(ever.any([dim for dim in ever.dims if dim != "check"]).sum()) > 1:
        fired_checks = int(ever.any([dim for dim in ever.dims if dim != "check"]).sum())
        more.append(f"{fired_checks} of {count(len(checks), 'place')}")
    if len(runs) > 1:
        more.append(f"{int(ever.any('check').sum())} of {count(len(runs), 'run')}")
    last = int(result["last_step"].isel(check=checks).max())
    text = f"`{rule}` fires first at step {int(step):,}, {where}"
    text += f", and last at step {last:,}" if last > step else ""
    text += f"; in all at {listed(more)}" if more else ""
    return Finding(f"{text}.", "places", alarm=rule in BROKEN, surprise=CERTAIN if rule in BROKEN else FIRED)


def _quiet(result: xr.Dataset, fired: bool) -> list[Finding]:
    over = [dim for dim in result["fired"].dims if dim != "rule"]
    quiet = (result["fired"].sum(over) == 0) & (result["checked"].sum(over) > 0)
    names = [str(rule) for rule in result["rule"].values[quiet.values]]
    if not names:
        return []
    text = f"No sign of {listed([f'`{name}`' for name in names])}."
    return [Finding(text if fired else f"No rule fires: no sign of {text.removeprefix('No sign of ')}", "rules")]


def _unchecked(result: xr.Dataset) -> list[Finding]:
    over = [dim for dim in result["checked"].dims if dim != "rule"]
    names = [str(rule) for rule in result["rule"].values[(result["checked"].sum(over) == 0).values]]
    if not names:
        return []
    return [
        Finding(f"Not checked, as the run lacks what they need: {listed([f'`{name}`' for name in names])}.", "rules")
    ]
