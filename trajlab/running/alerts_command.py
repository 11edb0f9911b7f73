"""The command `alerts`: a table of the rules that fired, and exit code 1 for those named in --fail-on.

With --follow, it also says which changes of level two online control charts notice.
"""

import difflib
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import dask
import numpy as np
import typer
import xarray as xr
from rich.console import Console
from rich.markup import escape

from trajlab.errors import AlertFired, BadSetting
from trajlab.running.alerts_table import dims_but_rule, show
from trajlab.running.compute import computing, write
from trajlab.running.follow import follow
from trajlab.running.options import READING_OPTIONS
from trajlab.running.stage_command import stage_command
from trajlab.running.watcher import Watcher
from trajlab.runs.disk.atomic import check_free
from trajlab.runs.disk.paths import as_path
from trajlab.runs.open import open as open_trajectory
from trajlab.runs.open import runs_in
from trajlab.schema import RESULT_VERSION
from trajlab.stages.alerts.rules import as_key, rule_keys
from trajlab.statistics.studies import run_names
from trajlab.statistics.wording import listed

ANY = "any"
"""Value of --fail-on for all rules."""

LEVEL_CHANGE = "LevelChange"
"""Value of --fail-on for a change of level that the online charts notice."""


def alerts_command() -> Callable:
    """Return a function for typer that checks the rules, prints a table, and writes the result if `out` is given."""
    out = Annotated[
        Path | None,
        typer.Argument(parser=as_path, help="Zarr store to write the result to; by default it is only printed."),
    ]
    fail_on = Annotated[
        list[str],
        typer.Option(
            metavar="RULE",
            callback=_resolve_rules,
            help="Exit with 1 if this rule fires or cannot be checked; can be repeated. `any` means all rules. "
            f"With --follow, {LEVEL_CHANGE} means that the level of a norm, update or metric changed.",
        ),
    ]
    following = Annotated[
        bool,
        typer.Option(
            help="Check the rules again whenever the run has grown, and print what fires then, and which norms, "
            "updates and metrics leave their past (CUSUM), until its Recorder closes it, a rule named in --fail-on "
            "fires, or ctrl-C."
        ),
    ]
    extra: dict[str, Any] = {"out": (out, None), "fail_on": (fail_on, []), "follow": (following, False)}
    return stage_command("alerts", finish=_finish, extra=extra)


def _resolve_rules(names: list[str]) -> list[str]:
    """Resolve rule names, ignoring case and hyphens."""
    by_key = rule_keys() | {ANY: ANY, as_key(LEVEL_CHANGE): LEVEL_CHANGE, "level_change": LEVEL_CHANGE}
    for name in names:
        if as_key(name) not in by_key:
            close = difflib.get_close_matches(as_key(name), by_key, 3, 0.5)
            choices = ", ".join(dict.fromkeys(by_key[match] for match in close or by_key))
            raise typer.BadParameter(
                f"there is no rule {name!r}; {f'did you mean {choices}?' if close else f'choose {choices}'}"
            )
    return [by_key[as_key(name)] for name in names]


def _finish(lazily: Callable[[], xr.Dataset], options: dict[str, Any]) -> None:
    out, fail_on = options["out"], options["fail_on"]
    if LEVEL_CHANGE in fail_on and not options["follow"]:
        raise BadSetting(
            f"cannot fail on {LEVEL_CHANGE} without --follow: it watches runs that are being written; add --follow, or "
            "run `trajlab change_points`"
        )
    if out is not None:
        check_free(out, RESULT_VERSION if options["overwrite"] else None)
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 200)

    def compute() -> xr.Dataset:
        with computing("alerts", workers=options["workers"], scheduler=options["scheduler"]):
            (alerts,) = dask.compute(lazily())
        return alerts

    noticed: list[str] = []
    if options["follow"]:
        alerts, noticed = _followed(compute, console, options)
    else:
        alerts = compute()
        show(alerts, console)
    if out is not None:
        write({out: alerts}, overwrite=options["overwrite"])
    if noticed and LEVEL_CHANGE in fail_on:
        raise AlertFired(f"{LEVEL_CHANGE} fired: {noticed[-1]}. Look at the run, or remove it from --fail-on.")
    _fail(alerts, [rule for rule in fail_on if rule != LEVEL_CHANGE])


def _followed(
    compute: Callable[[], xr.Dataset], console: Console, options: dict[str, Any]
) -> tuple[xr.Dataset, list[str]]:
    """Print the rules that fire, and those that begin to fire whenever the run has grown.

    Returns
    -------
    The alerts at the end, and the noticed changes of level in words.
    """
    seen: set[tuple[str, str, str]] = set()
    watchers: dict[str, Watcher] = {}
    reading = {name: options[name] for name in (*READING_OPTIONS, "trust")}
    alerts = xr.Dataset()
    changes: list[str] = []

    def check() -> bool:
        nonlocal alerts
        is_first = not alerts
        alerts = compute()
        if is_first:
            show(alerts, console)
        fires = _first_steps(alerts)
        for (run, rule, place), step in fires.items():
            if not is_first and (run, rule, place) not in seen:
                parts = f"{run}  " * bool(run) + f"{rule}  {place}  from step {step:,}"
                console.print(f"{datetime.now():%H:%M:%S}  [red]{escape(parts)}[/]", highlight=False)
        seen.update(fires)
        for name, path in (runs_in(options["run"]) or {"": options["run"]}).items():
            for noticed in watchers.setdefault(name, Watcher()).read(open_trajectory(path, **reading)):
                parts = f"{name}  " * bool(name) + str(noticed)
                changes.append(parts)
                console.print(f"{datetime.now():%H:%M:%S}  [yellow]{escape(parts)}[/]", highlight=False)
        is_changed = bool(changes) and LEVEL_CHANGE in options["fail_on"]
        return is_changed or any({rule, ANY} & set(options["fail_on"]) for _, rule, _ in fires)

    follow(options["run"], check)
    return alerts, changes


def _first_steps(alerts: xr.Dataset) -> dict[tuple[str, str, str], int]:
    """Return the first step at which each rule fires, by run, rule and place."""
    runs = [(name, alerts.isel(run=i)) for i, name in enumerate(run_names(alerts))] or [("", alerts)]
    steps = {}
    for name, of_run in runs:
        first = of_run["first_step"].values
        for i in np.flatnonzero(np.isfinite(first)):
            steps[name, str(of_run["rule_of"].values[i]), str(of_run["place_of"].values[i])] = int(first[i])
    return steps


def _fail(alerts: xr.Dataset, fail_on: list[str]) -> None:
    """Raise AlertFired if a named rule fired or could not be checked; `any` ignores rules that could not."""
    fired, checked = (alerts[name].sum(dims_but_rule(alerts)).to_series() for name in ("fired", "checked"))
    failed = {
        "fired": [rule for rule in fired.index if fired[rule] > 0 and {rule, ANY} & set(fail_on)],
        "could not be checked": [rule for rule in checked.index if checked[rule] == 0 and rule in fail_on],
        "left out by --rules": [rule for rule in fail_on if rule not in {*checked.index, ANY}],
    }
    parts = [f"{listed(rules)} {words}" for words, rules in failed.items() if rules]
    if parts:
        raise AlertFired(f"{'; '.join(parts)}. See the table, change a threshold, or remove the rule from --fail-on.")
