"""Figures of the report and animations, and what a module of figures holds.

A module `trajlab.figures.<stage>` draws the results of a stage. It holds

- `<stage>(data, *, ax=None, variable=…, **select) -> Axes`: the figure that answers the question of the stage, or that
  of a variable; `trajlab.figure` calls it;
- `panels(data) -> list[Panel]`: the figures that the report shows (`Drawn`);
- optionally `frames(data, *, variable=…, **select) -> Frames`: an animation, for `trajlab figure … .gif` (`Animated`).

`data` is the Dataset of a prepared result (`trajlab.statistics.prepare`). `default` draws stages without a module.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import xarray as xr
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


@runtime_checkable
class Drawn(Protocol):
    """A module that draws the results of a stage for the report."""

    def panels(self, data: xr.Dataset, /) -> list[Panel]:
        """Return the figures that the report shows, the most telling first; findings name them by their keys."""


@runtime_checkable
class Animated(Protocol):
    """A module that animates the results of a stage."""

    def frames(self, data: xr.Dataset, /, **select: Any) -> Frames:
        """Return the frames of an animation over the steps."""
