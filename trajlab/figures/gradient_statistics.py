"""Figures of the norm, direction and variance of gradients."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.figures.default import default
from trajlab.figures.drift import known_rows
from trajlab.figures.marks import multiples
from trajlab.figures.marks.canvas import tall
from trajlab.figures.marks.heat import heat
from trajlab.figures.marks.lines import lines
from trajlab.figures.marks.selection import choose, recorded
from trajlab.figures.panel import Panel

LINES = 12
"""Layers that are shown as lines of their own, evenly from the input to the output."""

RIGHT = 90.0
"""Degrees between unrelated gradients."""


def gradient_statistics(result: xr.Dataset, *, ax: Axes | None = None, variable: str = "l2", **select: Any) -> Axes:
    """Draw the norm of each layer's gradient as a heat map.

    Parameters
    ----------
    result
        Result of the stage `gradient_statistics`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable.
    select
        Which part of it.
    """
    return default(result, ax=ax, variable=variable, **select)


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    many = "parameter" in result.dims
    total, whole = ("total_", " of the whole network") if many else ("", "")
    figures = []
    if many:
        caption, array = "|g|₂ of each tensor, from the input at the top.", known_rows(result["l2"])[0]
        figures.append(multiples.panel("l2", "Norm of the gradient", caption, array, unknown="Gray: no gradient."))
        layers, title = _layers(result)
        caption = (
            f"Root mean square of a gradient entry, {title}: lines that diverge separate layers that learn from layers "
            "that starve."
        )
        figures.append(Panel("rms", "RMS of the gradient", caption, (9.2, 3.4), partial(_lines, layers, log=True)))
    caption = "Spikes are steps at which training may have gone astray."
    draw = partial(_lines, result[f"{total}l2"], log=True)
    figures.append(Panel("total", f"Norm of the gradient{whole}", caption, (9.2, 3.0), draw))
    title = "Angle to the gradient before"
    caption = "90° if successive gradients have nothing in common, less where they agree, more where they swing back."
    if many:
        array = known_rows(result["angle_prev"])[0]
        figures.append(multiples.panel("angle", title, caption, array, center=RIGHT))
    else:
        figures.append(Panel("angle", title, caption, (9.2, 3.0), partial(_lines, result["angle_prev"])))
    if many and result.sizes["epoch"] > 1:
        caption = "Variance of a gradient entry over the steps of an epoch, averaged over the entries of a tensor."
        height = tall(result.sizes["parameter"])
        figures.append(Panel("variance", "Variance of the gradient", caption, (9.2, height), partial(_epochs, result)))
    return figures


def _layers(result: xr.Dataset) -> tuple[xr.DataArray, str]:
    """Choose the weights of a few layers, and say which."""
    array, which = choose(result, "rms", keep=("step", "parameter"))
    array = known_rows(array)[0]
    inner = np.flatnonzero([kind not in ("bias", "norm") for kind in array["kind"].values])
    inner = inner if inner.size else np.arange(array.sizes["parameter"])
    chosen = inner[np.unique(np.linspace(0, inner.size - 1, min(LINES, inner.size)).round().astype(int))]
    words = "all weights" if chosen.size == inner.size else f"{chosen.size} of {inner.size} weights, evenly"
    return array.isel(parameter=chosen), ", ".join(filter(None, [f"{words} from the input to the output", which]))


def _lines(array: xr.DataArray, figure: Figure, log: bool = False) -> None:
    lines(recorded(array), figure.add_subplot(), log=log)


def _epochs(result: xr.Dataset, figure: Figure) -> None:
    array, title = choose(result, "variance_over_steps", keep=("parameter", "epoch"))
    ax = figure.add_subplot()
    heat(array.transpose("parameter", "epoch"), ax)
    ax.set_title(title)
