"""The inventory of a run as HTML, for notebooks: what it holds, and its tensors as a tree that folds."""

from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby

from trajlab.runs.inventory import Inventory

MOST_OPEN = 12
"""Most tensors of a run whose tree is unfolded at first."""

Row = tuple[str, str, str, str, int, int]
"""Name, kind, shape, type, snapshots and gradients of a parameter, as in `Inventory.tensors`."""

STYLE = """<style>
.trajlab-run ul { list-style: none; margin: 0; padding-left: 1.4em; }
.trajlab-run summary { cursor: pointer; }
.trajlab-run span { opacity: 0.65; }
</style>"""


def inventory_html(title: str, inventory: Inventory) -> str:
    """Write an inventory as HTML.

    Parameters
    ----------
    title
        The first line.
    inventory
        The inventory; its notes on what is missing are left to `trajlab info`.
    """
    facts = "".join(f"<div><span>{escape(name)}</span> {escape(text)}</div>" for name, text in inventory.facts if text)
    is_open = len(inventory.tensors) <= MOST_OPEN
    tree = "".join(_tree(inventory.tensors, 0, is_open=is_open))
    listed = _folded(f"{len(inventory.tensors)} weights", tree, is_open=is_open) if tree else ""
    return f'{STYLE}<div class="trajlab-run"><div><b>{escape(title)}</b></div>{facts}{listed}</div>'


def _tree(rows: Iterable[Row], depth: int, *, is_open: bool) -> Iterator[str]:
    """Yield an entry for each tensor, and one that folds for each module with several."""
    for module, inside in groupby(rows, key=lambda row: row[0].split(".")[depth]):
        below = list(inside)
        if len(below) > 1 and all(row[0].count(".") > depth for row in below):
            entries = "".join(_tree(below, depth + 1, is_open=is_open))
            yield f"<li>{_folded(f'{escape(module)} <span>{len(below)} tensors</span>', entries, is_open=is_open)}</li>"
        else:
            yield from (_entry(row, depth) for row in below)


def _entry(row: Row, depth: int) -> str:
    name, kind, shape, stored, snapshots, gradients = row
    words = [kind, shape, stored, f"{snapshots:,} snapshots", f"{gradients:,} gradients" if gradients else ""]
    text = ", ".join(filter(None, words))
    return f"<li>{escape('.'.join(name.split('.')[depth:]))} <span>{escape(text)}</span></li>"


def _folded(summary: str, entries: str, *, is_open: bool) -> str:
    return f"<details{' open' if is_open else ''}><summary>{summary}</summary><ul>{entries}</ul></details>"
