"""What `trajlab info` prints of a run."""

from datetime import datetime

import numpy as np
from rich.console import Console
from rich.table import Table

from trajlab.runs.inventory import Inventory
from trajlab.runs.trajectory import Trajectory
from trajlab.statistics.wording import count, number
from trajlab.terminal import printable_markup

WIDEST = 100_000
"""Characters of a line, beyond which even a table with its names in full is cut."""


def show_inventory(inventory: Inventory, console: Console, *, tensors: bool) -> None:
    """Print the facts of a run, its parameters if `tensors`, and what it lacks; in a pipe no line is cut."""
    width = max(len(title) for title, _ in inventory.facts)
    for title, text in inventory.facts:
        console.print(f"[bold]{printable_markup(title):>{width}}[/]  {printable_markup(text)}", highlight=False)
    if tensors:
        table = Table("parameter", "kind", "shape", "type", "snapshots", "gradients", box=None, pad_edge=False)
        for row in inventory.tensors:
            table.add_row(*(printable_markup(cell) for cell in row))
        console.print()
        if not console.is_terminal:
            console.width = WIDEST
            console.width = console.measure(table).maximum
        console.print(table)
    for note in inventory.missing:
        console.print(f"[yellow]note[/]  {printable_markup(note)}", highlight=False)


def show_growth(name: str, before: Trajectory, run: Trajectory, console: Console) -> None:
    """Print how far a run is in one line, if it has grown: time, name, last step, snapshots, last value of each metric.

    Parameters
    ----------
    name
        Name of the run; may be empty.
    before, run
        The run as it was, and as it is.
    console
        Where to print.
    """
    if repr(before) == repr(run) and before.metrics.identical(run.metrics):
        return
    steps, gradient_steps = run.steps, run.gradients.steps
    parts = [f"step {steps[-1]:,}" if len(steps) else "no step", count(len(steps), "snapshot")]
    parts += [f"gradients to step {gradient_steps[-1]:,}"] if len(gradient_steps) else []
    for metric, array in run.metrics.data_vars.items():
        measured = np.flatnonzero(~np.isnan(array.values.astype(float)))
        parts += [f"{metric} {number(array.values[measured[-1]])}"] if len(measured) else []
    line = " · ".join([*([name] if name else []), *parts])
    console.print(f"{datetime.now():%H:%M:%S}  {printable_markup(line)}", highlight=False)
