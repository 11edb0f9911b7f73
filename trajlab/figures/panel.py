"""A figure of the report: what it shows, how large, and how it is drawn."""

from collections.abc import Callable
from typing import NamedTuple

from matplotlib.figure import Figure


class Panel(NamedTuple):
    """A figure of the report.

    Attributes
    ----------
    key
        Name by which sentences refer to it.
    title
        What it shows.
    caption
        How to read it.
    size
        Width and height in inches.
    draw
        Draws it on an empty figure.
    """

    key: str
    title: str
    caption: str
    size: tuple[float, float]
    draw: Callable[[Figure], object]
