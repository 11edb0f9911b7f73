"""The table of the rules that fired, as the terminal shows it."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from trajlab.statistics.studies import run_names
from trajlab.statistics.wording import count, number
from trajlab.terminal import printable_markup

MAX_ROWS = 8
"""Largest number of rows for each rule."""


def show(alerts: xr.Dataset, console: Console) -> None:
    """Print which rules fire where, which are quiet, and which could not be checked.

    "longest" is the largest number of consecutive checked steps at which a rule fires; "value" is the value at the
    first step at which it fires.
    """
    runs = [(name, alerts.isel(run=i)) for i, name in enumerate(run_names(alerts))] or [("", alerts)]
    for name, of_run in runs:
        rows = list(_rows(of_run))
        if name:
            console.print(f"[bold]{printable_markup(name)}[/]{'' if rows else '  nothing fires'}", highlight=False)
        if rows:
            console.print(_table(rows))
        if name:
            console.print()
    dims = dims_but_rule(alerts)
    quiet = (alerts["fired"].sum(dims) == 0) & (alerts["checked"].sum(dims) > 0)
    if quiet.any():
        names = printable_markup(", ".join(map(str, alerts["rule"].values[quiet.values])))
        console.print(f"[green]quiet[/]        {names}", highlight=False)
    for rule in map(str, alerts["rule"].values):
        reasons = [str(of_run["reason"].sel(rule=rule).item()) for _, of_run in runs]
        unchecked = [reason for reason in reasons if reason]
        if unchecked:
            where = f" in {len(unchecked)} of {len(reasons)} runs" if len(unchecked) < len(reasons) else ""
            console.print(
                f"[yellow]not checked[/]  {printable_markup(rule)}: {printable_markup(unchecked[0])}{where}",
                highlight=False,
            )


def dims_but_rule(alerts: xr.Dataset) -> list[str]:
    """Return the dims of alerts except `rule`."""
    return [str(dim) for dim in alerts["fired"].dims if dim != "rule"]


def _table(rows: list[list[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("fires", no_wrap=True, style="red")
    table.add_column("where", overflow="fold")
    for title in ("from step", "to step", "longest", "value"):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(*(printable_markup(cell) for cell in row))
    return table


def _rows(alerts: xr.Dataset) -> Iterator[list[str]]:
    """Yield the rows of the table of one run."""
    first, last, longest = (alerts[name].values for name in ("first_step", "last_step", "duration"))
    place_names = alerts["place_of"].values
    for rule in map(str, alerts["rule"].values):
        fired = [i for i in np.flatnonzero(alerts["rule_of"].values == rule) if np.isfinite(first[i])]
        fired.sort(key=lambda i: first[i])
        for i in fired[:MAX_ROWS]:
            value = float(alerts["value"].isel(check=i).sel(step=int(first[i])))
            yield [rule, str(place_names[i]), *map(number, (first[i], last[i], longest[i], value))]
        if len(fired) > MAX_ROWS:
            yield [rule, f"… and {count(len(fired) - MAX_ROWS, 'other place')}", "", "", "", ""]
