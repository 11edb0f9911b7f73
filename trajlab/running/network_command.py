"""The costs of a network as a table: parameters, multiply–adds and output sizes by module."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from trajlab.replays.module_graph import Node
from trajlab.terminal import printable_markup


def network_table(nodes: Sequence[Node]) -> Table:
    """Return a table with a row for each module in the order of the pass, and the sums."""
    table = Table(box=None, pad_edge=False, show_footer=True)
    totals = [f"{sum(getattr(node, name) for node in nodes):,}" for name in ("parameters", "multiply_adds")]
    table.add_column("module", "whole network", overflow="fold")
    table.add_column("class")
    table.add_column("output", justify="right")
    for name, total in zip(("parameters", "multiply–adds"), totals, strict=True):
        table.add_column(name, total, justify="right", no_wrap=True)
    for node in nodes:
        if node.kind == "module":
            shape = " × ".join(map(str, node.shape))
            name, kind = printable_markup(node.name), printable_markup(node.module_class)
            table.add_row(name, kind, shape, f"{node.parameters:,}", f"{node.multiply_adds:,}")
        elif node.kind == "output" and node.multiply_adds:
            table.add_row("functions outside modules", "", "", "0", f"{node.multiply_adds:,}")
    return table


def show_network(nodes: Sequence[Node]) -> None:
    """Print the table."""
    Console(soft_wrap=True).print(network_table(nodes))
