"""The figure of any result, chosen by the dims of its variables."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from trajlab.errors import MissingData
from trajlab.figures.marks import multiples
from trajlab.figures.marks.canvas import canvas, tall
from trajlab.figures.marks.colors import CATEGORIES
from trajlab.figures.marks.empty import say_if_empty
from trajlab.figures.marks.heat import heat, labels
from trajlab.figures.marks.images import holds_images, images
from trajlab.figures.marks.labels import name_rows, shorten, title_of, value_axis
from trajlab.figures.marks.lines import lines
from trajlab.figures.marks.selection import choose
from trajlab.figures.panel import Panel

ROWS = ("layer", "parameter")
FEW = 8
"""Largest number of lines with colors of their own."""


def default(result: xr.Dataset, *, ax: Axes | None = None, variable: str | None = None, **select: Any) -> Axes:
    """Draw a variable as what its dims suggest: a heat map of layers by steps, lines, bars, or images.

    Parameters
    ----------
    result
        A result.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable; by default the first over steps and layers, or the first of all.
    select
        Which part of it.
    """
    variable = variable or first_variable(result)
    if variable in result and holds_images(result[variable]):
        return images(result, variable, ax, **select)
    dims = [str(dim) for dim in result[variable].dims if select.get(str(dim)) is None] if variable in result else []
    row = next((dim for dim in ROWS if dim in dims), None)
    if "step" in dims:
        other = row or next((dim for dim in dims if dim not in ("step", "run", "tau")), "run")
        array, title = choose(result, variable, keep=("step", other), **select)
        if other == "run" or (other != row and array.sizes[other] <= FEW):
            ax = canvas(ax)
            lines(array, ax)
            ax.set_title(title)
            return ax
        ax = canvas(ax, height=tall(array.sizes[other]))
        heat(array.transpose(other, "step"), ax)
    else:
        first = row or next((dim for dim in dims if dim != "run"), "run")
        keep = [first, *[dim for dim in dims if dim not in (first, "run", "tau")][:1]]
        array, title = choose(result, variable, keep=keep, **select)
        if array.ndim == 2:
            ax = canvas(ax, height=tall(array.sizes[first]))
            heat(array.transpose(*keep), ax)
        else:
            array = array if array.ndim else array.expand_dims("")
            ax = canvas(ax, height=tall(array.size))
            _bars(array, ax)
    ax.set_title(title)
    return ax


def panels(result: xr.Dataset) -> list[Panel]:
    """Return a figure for each of the first few variables."""
    figures: list[Panel] = []
    for name in [first_variable(result), *[str(name) for name in result.data_vars]]:
        array = result[name]
        if name in [panel.key for panel in figures] or not _numeric(array) or len(figures) == 6:
            continue
        row = next((dim for dim in ROWS if dim in array.dims), None)
        caption = str(array.attrs.get("definition", ""))
        if row and {"run", "step"} <= set(array.dims):
            chosen = choose(result, name, keep=("run", "step", row)).array
            figures.append(multiples.panel(name, title_of(array), caption, chosen))
            continue
        height = tall(array.sizes[row]) if row else 3.2
        figures.append(Panel(name, title_of(array), caption, (9.2, height), partial(_alone, result, name)))
    return figures


def first_variable(result: xr.Dataset) -> str:
    """Return the variable that shows most at a glance: the first of numbers over steps and layers, or the first."""
    names = [str(name) for name, array in result.data_vars.items() if _numeric(array)]
    if not names:
        raise MissingData("cannot draw the result: it has no numeric variable; name another result.")
    over = [name for name in names if "step" in result[name].dims and any(dim in result[name].dims for dim in ROWS)]
    return (over or [name for name in names if "step" in result[name].dims] or names)[0]


def _numeric(array: xr.DataArray) -> bool:
    return array.dtype.kind in "fiub"


def _alone(result: xr.Dataset, name: str, figure: Any) -> None:
    default(result, ax=figure.add_subplot(), variable=name)


def _bars(array: xr.DataArray, ax: Axes) -> None:
    """Draw a bar for each label of the only dim."""
    rows = str(array.dims[0])
    values = np.where(np.isfinite(array.values.astype(float)), array.values.astype(float), np.nan)
    ax.barh(np.arange(array.size), values, height=0.72, color=CATEGORIES[0])
    ax.set_ylim(array.size - 0.5, -0.5)
    name_rows(ax, [shorten(name) for name in labels(array, rows)] if rows else [""])
    value_axis(ax.xaxis, array)
    ax.set_xlabel(title_of(array))
    say_if_empty(array, ax)
