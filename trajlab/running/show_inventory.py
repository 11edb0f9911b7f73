"""What `trajlab info` prints of a run."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trajlab.runs.inventory import Inventory
from trajlab.terminal import printable

WIDEST = 100_000
"""Characters of a line, beyond which even a table with its names in full is cut."""


def show_inventory(inventory: Inventory, console: Console, *, tensors: bool) -> None:
    """Print the facts of a run, its parameters if `tensors`, and what it lacks; in a pipe no line is cut."""
    width = max(len(title) for title, _ in inventory.facts)
    for title, text in inventory.facts:
        console.print(f"[bold]{_safe(title):>{width}}[/]  {_safe(text)}", highlight=False)
    if tensors:
        table = Table("parameter", "kind", "shape", "type", "snapshots", "gradients", box=None, pad_edge=False)
        for row in inventory.tensors:
            table.add_row(*(_safe(cell) for cell in row))
        console.print()
        if not console.is_terminal:
            console.width = WIDEST
            console.width = console.measure(table).maximum
        console.print(table)
    for note in inventory.missing:
        console.print(f"[yellow]note[/]  {_safe(note)}", highlight=False)


def _safe(text: object) -> str:
    """Return a text from data that neither the terminal nor rich takes as a command."""
    return escape(printable(text))
