"""Parts of the page as HTML."""

from collections.abc import Iterable
from html import escape

from trajlab.runs.inventory import inventory
from trajlab.runs.trajectory import Trajectory


def note(text: str) -> str:
    """Return a sentence as an HTML paragraph; empty for an empty sentence."""
    return f'<p class="note">{escape(text)}</p>' if text else ""


def facts_table(name: str, run: Trajectory) -> str:
    """Return the facts that `trajlab info` prints of a run as an HTML table."""
    listing = inventory(run)
    return table_of(name, listing.facts, listing.missing)


def table_of(name: str, facts: Iterable[tuple[str, str]], missing: Iterable[str]) -> str:
    """Return facts of a run as an HTML table with a heading, and what is missing below it."""
    cells = "".join(f"<tr><th>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in facts)
    return f"<h3>{escape(name)}</h3><table class='facts'>{cells}</table>{''.join(map(note, missing))}"
