"""The command that shows alerts, and fails on those that it is asked to."""

import difflib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import dask
import numpy as np
import typer
import xarray as xr
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trajlab.errors import AlertFired
from trajlab.running.compute import computing, write
from trajlab.running.stage_command import stage_command
from trajlab.runs.disk.atomic import check_free
from trajlab.runs.disk.paths import as_path
from trajlab.schema import RESULT_VERSION
from trajlab.stages.alerts.rules import all_rules
from trajlab.statistics.studies import run_names
from trajlab.statistics.wording import count, listed, number

ANY = "any"
MOST = 8
"""Places of a rule that the table names."""


def alerts_command() -> Callable:
    """Give a function for typer that checks the rules, prints what fired, and writes the result if that is wanted."""
    out = Annotated[
        Path | None, typer.Argument(parser=as_path, help="The result, a Zarr store; it is only shown if left out.")
    ]
    fail_on = Annotated[
        list[str],
        typer.Option(
            metavar="RULE",
            callback=_rules,
            help="Exit with 1 if this rule fires, or can not be checked. May be given several times; any is all rules.",
        ),
    ]
    return stage_command("alerts", finish=_finish, extra={"out": (out, None), "fail_on": (fail_on, [])})


def _rules(asked: list[str]) -> list[str]:
    """Take rules by name, written as it may be."""
    names = {file: rule.name for file, rule in all_rules().items()}
    known = names | {name.lower(): name for name in names.values()} | {ANY: ANY}
    found = []
    for name in asked:
        key = name.strip().replace("-", "_").lower()
        if key not in known:
            close = difflib.get_close_matches(key, known, 3, 0.5)
            offered = list(dict.fromkeys(known[one] for one in close)) or [*names.values(), ANY]
            offer = f"Did you mean {', '.join(offered)}?" if close else f"There are {', '.join(offered)}."
            raise typer.BadParameter(f"there is no rule {name!r}. {offer}")
        found.append(known[key])
    return found


def _finish(result: xr.Dataset, options: dict[str, Any]) -> None:
    out = options["out"]
    if out is not None:
        check_free(out, RESULT_VERSION if options["overwrite"] else None)
    with computing("alerts", workers=options["workers"], scheduler=options["scheduler"]):
        (found,) = dask.compute(result)
    show(found, Console(soft_wrap=True, width=None if sys.stdout.isatty() else 200))
    if out is not None:
        write({out: found}, overwrite=options["overwrite"])
    _fail(found, options["fail_on"])


def _fail(found: xr.Dataset, asked: list[str]) -> None:
    """Raise if rules that were asked for fired, or were not checked; any asks for none that can not be checked."""
    over = [dim for dim in found["fired"].dims if dim != "rule"]
    fired, checked = (found[name].sum(over).to_series() for name in ("fired", "checked"))
    burning = [rule for rule in fired.index if fired[rule] > 0 and {rule, ANY} & set(asked)]
    blind = [rule for rule in checked.index if checked[rule] == 0 and rule in asked]
    told = ((burning, "fired"), (blind, "could not be checked"))
    parts = [f"{listed(rules)} {words}" for rules, words in told if rules]
    if parts:
        raise AlertFired(f"{'; '.join(parts)}. Look at the table, change a threshold, or take it out of --fail-on.")


def show(found: xr.Dataset, console: Console) -> None:
    """Print which rules fire where, which are quiet, and which could not be checked.

    The longest time that a rule fires is in checked steps in a row; the value is that at the first step.
    """
    runs = [(name, found.isel(run=i)) for i, name in enumerate(run_names(found))] or [("", found)]
    for name, one in runs:
        rows = list(_rows(one))
        if name:
            console.print(f"[bold]{escape(name)}[/]{'' if rows else '  nothing fires'}", highlight=False)
        if rows:
            console.print(_table(rows))
        if name:
            console.print()
    over = [dim for dim in found["fired"].dims if dim != "rule"]
    quiet = (found["fired"].sum(over) == 0) & (found["checked"].sum(over) > 0)
    if quiet.any():
        names = ", ".join(str(rule) for rule in found["rule"].values[quiet.values])
        console.print(f"[green]quiet[/]        {names}", highlight=False)
    for rule in map(str, found["rule"].values):
        here = [str(one["reason"].sel(rule=rule).item()) for _, one in runs]
        lacking = [reason for reason in here if reason]
        if lacking:
            some = f" in {len(lacking)} of {len(here)} runs" if len(lacking) < len(here) else ""
            console.print(f"[yellow]not checked[/]  {rule}: {escape(lacking[0])}{some}", highlight=False)


def _table(rows: list[list[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("fires", no_wrap=True, style="red")
    table.add_column("where", overflow="fold")
    for title in ("from step", "to step", "longest", "value"):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _rows(found: xr.Dataset) -> Iterator[list[str]]:
    """Give the rows of the table of one run."""
    first, places = found["first_step"].values, found["place_of"].values
    for rule in map(str, found["rule"].values):
        fired = [i for i in np.flatnonzero(found["rule_of"].values == rule) if np.isfinite(first[i])]
        fired.sort(key=lambda i: first[i])
        for i in fired[:MOST]:
            value = float(found["value"].isel(check=i).sel(step=int(first[i])))
            spans = (first[i], found["last_step"].values[i], found["duration"].values[i], value)
            yield [rule, str(places[i]), *map(number, spans)]
        if len(fired) > MOST:
            yield [rule, f"… and {count(len(fired) - MOST, 'other place')}", "", "", "", ""]
