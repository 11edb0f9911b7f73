"""Figures of how well the network does on the probe."""

from functools import partial
from typing import Any

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.figures.default import default
from trajlab.figures.marks import multiples
from trajlab.figures.marks.lines import lines
from trajlab.figures.panel import Panel


def evaluation(result: xr.Dataset, *, ax: Axes | None = None, variable: str | None = None, **select: Any) -> Axes:
    """Draw the accuracy over the steps, or the loss where there are no classes.

    Parameters
    ----------
    result
        Result of the stage `evaluation`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable.
    select
        Which part of it.
    """
    return default(result, ax=ax, variable=variable or ("accuracy" if "accuracy" in result else "loss"), **select)


def panels(result: xr.Dataset) -> list[Panel]:
    """Give the figures that the report shows."""
    found = [Panel("loss", "Loss on the probe", "", (9.2, 3.0), partial(_lines, result, "loss"))]
    if "accuracy" in result:
        found.append(Panel("accuracy", "Accuracy on the probe", "", (9.2, 3.0), partial(_lines, result, "accuracy")))
        caption = "Share of the targets of a class that are answered right; gray for a class that is no target."
        array = result["class_accuracy"]
        found.append(multiples.panel("class_accuracy", "Accuracy by class", caption, array))
    return found


def _lines(result: xr.Dataset, name: str, figure: Figure) -> None:
    lines(result[name], figure.add_subplot())
