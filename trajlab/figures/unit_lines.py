"""Figures of the input plane: lines of units, regions of predicted classes, and the data."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm, ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trajlab.errors import BadSetting
from trajlab.figures.default import default
from trajlab.figures.marks import multiples
from trajlab.figures.marks.canvas import canvas
from trajlab.figures.marks.colors import CATEGORIES, STROKE
from trajlab.figures.marks.labels import shorten
from trajlab.figures.marks.lines import beside, lines, palette
from trajlab.figures.marks.selection import moment, parameter_of
from trajlab.figures.panel import Frames, Panel
from trajlab.statistics.shown_steps import evenly
from trajlab.statistics.studies import run_labels, run_names

MOMENTS = 4
"""Steps that the report shows side by side."""

MOST = 3
"""Runs that the report shows one below the other."""

PALE, DEEP = 0.7, 0.88
"""How far the colors of regions are from those of classes, towards white; and those of points, towards black.

Both are the same on light and dark pages.
"""

TICK = 0.03
"""Length of the tick to the active side of a line, in shares of the picture."""

ROOT = 0.12
"""Where on a line its tick is: near an end, as the middles of lines through one point are all there."""

PLANE = ("ends", "region", "point", "target", "normal", "offset")
"""Variables that are drawn together."""


def unit_lines(
    result: xr.Dataset, *, ax: Axes | None = None, variable: str = "ends", parameter: str | None = None, **select: Any
) -> Axes:
    """Draw the lines of all units at a step over the regions of the classes, and the points of the probe.

    Parameters
    ----------
    result
        Result of the stage `unit_lines`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable; `ends`, `region` and `point` draw the plane.
    parameter
        The layer; a result holds the lines of one.
    select
        Which part of it, as in ``step=100``; by default the last step of the first run.
    """
    layer = parameter_of(result, parameter)
    if variable not in PLANE:
        return default(result, ax=ax, variable=variable, **select)
    at, title = moment(result, **select)
    ax = canvas(ax, height=4.8, width=6.4)
    _plane(at, _classes(result), ax)
    beside(ax, _legend(result))
    ax.set_title(f"{layer}, {title}")
    return ax


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    columns, rows = len(evenly(result.sizes["step"], MOMENTS)), min(result.sizes.get("run", 1), MOST)
    caption = "A line for each unit; its tick points to the side where the unit is active."
    caption += " The background is the predicted class." if "region" in result else ""
    title = f"Lines of {result.attrs.get('parameter', '')} on the plane"
    size = (9.2, min(8.4 / columns + 0.3, 4.0) * rows + 0.4)
    figures = [Panel("ends", title, caption, size, partial(_moments, result))]
    if result.sizes["step"] > 1:
        caption = "All other units are on, or off, everywhere in it."
        draw = partial(_lines, result["fraction_crossing"])
        figures.append(Panel("crossing", "Units whose line crosses the picture", caption, (9.2, 2.8), draw))
        caption = "From where it was at the first of the steps; a unit that points the other way has turned by 180°."
        array = result["turned"].transpose(..., "unit", "step")
        figures.append(multiples.panel("turned", "Rotation of each line", caption, array))
        caption = "Distance of each line from the middle of the picture."
        array = result["distance"].transpose(..., "unit", "step")
        figures.append(multiples.panel("distance", "Distance of each line from the center", caption, array))
    return figures


def frames(result: xr.Dataset, *, variable: str = "ends", **select: Any) -> Frames:
    """Return the plane at each step.

    Parameters
    ----------
    result
        Result of the stage `unit_lines`.
    variable
        Which variable; the plane moves.
    select
        Which part of it.
    """
    if variable not in PLANE:
        raise BadSetting(f"cannot animate {variable!r}: only the plane can be; leave the variable out.")
    steps = result["step"].values

    def draw(figure: Figure, position: int) -> None:
        unit_lines(result, ax=figure.add_subplot(), **(select | {"step": steps[position]}))

    return Frames(steps, (5.6, 4.4), draw)


def _plane(at: xr.Dataset, classes: np.ndarray, ax: Axes) -> None:
    """Draw one step of one run."""
    box = at["box"].transpose("axis", "limit").values
    colors = palette(len(classes)) if len(classes) else [CATEGORIES[0]]
    if "region" in at:
        pale = ListedColormap([PALE + (1 - PALE) * np.array(to_rgb(color)) for color in colors])
        shown = np.ma.masked_invalid(at["region"].transpose("y", "x").values)
        norm = BoundaryNorm(np.arange(len(colors) + 1) - 0.5, len(colors))
        codes = np.ma.array(np.searchsorted(classes, shown.filled(classes[0])), mask=np.ma.getmaskarray(shown))
        ax.imshow(
            codes, extent=tuple(box.ravel().tolist()), origin="lower", cmap=pale, norm=norm, interpolation="nearest"
        )
    ends = at["ends"].transpose("unit", "end", "axis").values
    seen = np.isfinite(ends).all((1, 2))
    ends, normal = ends[seen], at["normal"].transpose("unit", "axis").values[seen]
    root = (1 - ROOT) * ends[:, 0] + ROOT * ends[:, 1]
    tick = TICK * (box[:, 1] - box[:, 0]).max() * normal / np.linalg.norm(normal, axis=1, keepdims=True)
    strokes = np.concatenate([ends, np.stack([root, root + tick], axis=1)])
    ax.add_collection(LineCollection(list(strokes), colors=STROKE, linewidths=0.8))
    if "point" in at:
        points = at["point"].transpose("sample", "axis").values
        has_classes = "target" in at and len(classes) > 0
        shades = np.array([_deep(color) for color in colors])
        picked = shades[np.searchsorted(classes, at["target"].values)] if has_classes else _deep(CATEGORIES[0])
        ax.scatter(points[:, 0], points[:, 1], s=9, c=picked, edgecolors="white", linewidths=0.3, zorder=3)
    ax.set_xlim(*box[0])
    ax.set_ylim(*box[1])
    ax.set_aspect("equal")
    ax.set_xlabel("input 1")
    ax.set_ylabel("input 2")


def _classes(result: xr.Dataset) -> np.ndarray:
    """Return the classes of targets and regions; none where targets are no classes."""
    arrays = [result[name].values.ravel() for name in ("target", "region") if name in result]
    values = np.unique(np.concatenate([values_of[np.isfinite(values_of)] for values_of in arrays] or [np.empty(0)]))
    return values if (values == values.round()).all() else np.empty(0)


def _deep(color: Any) -> Any:
    """Return the color of the points of a class."""
    return tuple(DEEP * part for part in to_rgb(color))


def _legend(result: xr.Dataset) -> list[Line2D]:
    """Explain points and lines."""
    classes = _classes(result)
    points: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 4.5}
    handles = [
        Line2D([], [], color=_deep(color), label=f"class {value:g}", **points)
        for value, color in zip(classes, palette(len(classes)), strict=True)
    ]
    return [*handles, Line2D([], [], color=STROKE, linewidth=0.8, label="unit: w·x + b = 0")]


def _moments(result: xr.Dataset, figure: Figure) -> None:
    """Draw a few steps side by side, and a few runs one below the other."""
    steps = result["step"].values[evenly(result.sizes["step"], MOMENTS)]
    shown = evenly(result.sizes["run"], MOST) if "run" in result.dims else []
    runs: list[str | None] = [run_names(result)[i] for i in shown] or [None]
    grid = figure.subplots(len(runs), len(steps), squeeze=False, sharex=True, sharey=True)
    names = [run_labels(result)[i] for i in shown] or [""]
    for row, run, name in zip(grid, runs, names, strict=True):
        for ax, step in zip(row, steps, strict=True):
            _plane(moment(result, step=step, run=run)[0], _classes(result), ax)
            ax.label_outer()
            ax.set_title(f"{shorten(name)}, step {step:,}" if name and ax is row[0] else f"step {step:,}")
    figure.legend(handles=_legend(result), loc="outside lower left", ncols=6, frameon=False)


def _lines(array: xr.DataArray, figure: Figure) -> None:
    lines(array, figure.add_subplot())
