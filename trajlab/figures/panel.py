"""A figure of the report, and one that moves: what it shows, how large, and how it is drawn."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
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


class Frames(NamedTuple):
    """A figure that moves: one frame for each step.

    Attributes
    ----------
    steps
        The steps, rising, (step).
    size
        Width and height in inches.
    draw
        Draws a step, given by its position in `steps`, on an empty figure; on the same scales at each.
    """

    steps: np.ndarray
    size: tuple[float, float]
    draw: Callable[[Figure, int], object]
