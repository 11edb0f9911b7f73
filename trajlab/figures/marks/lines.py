"""Lines over the steps, one for each run or another dim, colored by what tells runs apart."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from trajlab.figures.marks.colors import CATEGORIES, INK, SEQUENTIAL
from trajlab.figures.marks.empty import say_if_empty
from trajlab.figures.marks.heat import labels
from trajlab.figures.marks.labels import height_of, shorten, step_axis, title_of, value_axis, wrap
from trajlab.figures.marks.scale import is_share, spans_decades
from trajlab.figures.marks.thinning import thinned_line
from trajlab.runs.tensors import natural
from trajlab.statistics.studies import facts, telling_facts

DASHES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")


def lines(array: xr.DataArray, ax: Axes, *, log: bool = False) -> list[Line2D]:
    """Draw a variable over the steps, a line for each label of its other dim.

    Parameters
    ----------
    array
        What to draw, (step) or (step, run) or another dim. Steps at which a line is not known are passed over.
    ax
        Where to draw.
    log
        Whether the scale is logarithmic, as far as there are values above zero, even if they span few decades. Values
        that are not above zero are passed over then.
    """
    log = is_log(array, log)
    others = [str(dim) for dim in array.dims if dim != "step"]
    if others:
        styles, legend = styles_of(array, others[0])
        drawn = [_line(array.isel({others[0]: i}), ax, style, log) for i, style in enumerate(styles)]
    else:
        drawn, legend = [_line(array, ax, {"color": CATEGORIES[0]}, log)], []
    finish(array, ax, log)
    say_if_empty(array, ax)
    if legend:
        beside(ax, legend)
    return drawn


def is_log(array: xr.DataArray, asked: bool = False) -> bool:
    """Return whether the scale of a variable is logarithmic: because its values span decades, or by request."""
    return spans_decades(array.values) or (asked and bool((array.values > 0).any()))


def finish(array: xr.DataArray, ax: Axes, log: bool) -> None:
    """Scale and name the axes of lines over the steps."""
    if log:
        ax.set_yscale("log")
    elif is_share(array) and np.isfinite(array.values).any():
        top = float(np.nanmax(np.where(np.isfinite(array.values), array.values, np.nan)))
        ax.set_ylim(0.0, min(max(1.08 * top, 0.01), 1.02))
    value_axis(ax.yaxis, array, log=log)
    ax.set_ylabel(wrap(title_of(array), height_of(ax)))
    step_axis(ax, array["step"].values)
    ax.margins(x=0.01)


def beside(ax: Axes, handles: Sequence[Any] | None = None) -> None:
    """Put the legend to the right of the axes, where it covers no data."""
    options: dict[str, Any] = {} if handles is None else {"handles": handles}
    columns = 1 + (0 if handles is None else len(handles)) // 18
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, frameon=False, ncols=columns, **options)


def _line(line: xr.DataArray, ax: Axes, style: dict[str, Any], log: bool) -> Line2D:
    is_shown = np.isfinite(line.values.astype(np.float64)) & ((line.values > 0) | (not log))
    marker: dict[str, Any] = {"marker": "o", "markersize": 4} if is_shown.sum() == 1 else {}
    return ax.plot(*thinned_line(line["step"].values[is_shown], line.values[is_shown]), **style, **marker)[0]


def styles_of(array: xr.DataArray, dim: str) -> tuple[list[dict[str, Any]], list[Line2D]]:
    """Choose a style for each label of a dim, and the legend that explains them."""
    names = labels(array, dim)
    telling = [name for name in telling_facts(array) if name != "seed"] if dim == "run" else []
    if not telling:
        if len(names) > 24:
            return [{"color": CATEGORIES[0], "alpha": 0.5, "linewidth": 0.9}] * len(names), []
        styles = [{"color": color} for color in palette(len(names))]
        return styles, [Line2D([], [], label=shorten(n), **s) for n, s in zip(names, styles, strict=True)]
    values_of = facts(array)
    levels = {name: _levels(values_of[name]) for name in telling[:2]}
    colors = dict(zip(levels[telling[0]], palette(len(levels[telling[0]])), strict=True))
    legend = [Line2D([], [], label=f"{telling[0]}: {value}", color=color) for value, color in colors.items()]
    dashes: dict[Any, Any] = {}
    if len(telling) > 1 and len(levels[telling[1]]) <= len(DASHES):
        dashes = dict(zip(levels[telling[1]], DASHES, strict=False))
        legend += [Line2D([], [], label=f"{telling[1]}: {v}", color=INK, linestyle=dash) for v, dash in dashes.items()]
    styles = [
        {
            "color": colors[values_of[telling[0]][i]],
            "linestyle": dashes[values_of[telling[1]][i]] if dashes else "-",
            "alpha": 0.9 if len(names) <= 12 else 0.6,
        }
        for i in range(len(names))
    ]
    return styles, legend


def _levels(values: np.ndarray) -> list[Any]:
    """Return the distinct values of a fact; names are sorted by the numbers in them."""
    distinct = set(values.tolist())
    return sorted(distinct) if values.dtype.kind in "iuf" else sorted(distinct, key=lambda value: natural(str(value)))


def palette(count: int) -> list[Any]:
    """Return `count` colors: distinct ones, or where there are too few of these, from dark to light."""
    return list(CATEGORIES[:count]) if count <= len(CATEGORIES) else list(SEQUENTIAL(np.linspace(0, 0.92, count)))
