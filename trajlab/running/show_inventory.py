"""What `trajlab info` prints of a run."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trajlab.runs.inventory import Inventory

WIDEST = 100_000
"""Characters of a line, beyond which even a table with its names in full is cut."""


def show_inventory(inventory: Inventory, console: Console, *, tensors: bool) -> None:
    """Print the facts of a run, its parameters if `tensors`, and what it lacks; in a pipe no line is cut."""
    width = max(len(title) for title, _ in inventory.facts)
    for title, text in inventory.facts:
        console.print(f"[bold]{title:>{width}}[/]  {escape(text)}", highlight=False)
    if tensors:
        table = Table("parameter", "kind", "shape", "type", "snapshots", "gradients", box=None, pad_edge=False)
        for row in inventory.tensors:
            table.add_row(*(escape(str(cell)) for cell in row))
        console.print()
        if not console.is_terminal:
            console.width = WIDEST
            console.width = console.measure(table).maximum
        console.print(table)
    for note in inventory.missing:
        console.print(f"[yellow]note[/]  {escape(note)}", highlight=False)
