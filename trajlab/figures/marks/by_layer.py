"""Lines over the steps, one for each layer."""

from typing import Any

import xarray as xr
from matplotlib.axes import Axes

from trajlab.figures.marks.colors import INK
from trajlab.figures.marks.labels import height_of, per_cent, shorten, step_axis, title_of, wrap
from trajlab.figures.marks.lines import beside, palette
from trajlab.figures.marks.scale import is_share
from trajlab.replays.observers.observer import INPUT

FEW = 12
"""Steps up to which each has a mark."""


def by_layer(array: xr.DataArray, ax: Axes, *, chance: float | None = None) -> None:
    """Draw a line for each layer over the steps; of several runs the median, and a faint line for each.

    Parameters
    ----------
    array
        What to draw, ([run,] step, layer).
    ax
        Where to draw.
    chance
        Majority-class rate, drawn as a baseline.
    """
    names = [str(name) for name in array["layer"].values]
    layers = [name for name in names if name != INPUT]
    colors = dict(zip(layers, palette(len(layers)), strict=True)) | {INPUT: INK}
    steps = array["step"].values
    marker: dict[str, Any] = {"marker": "o", "markersize": 4} if len(steps) <= FEW else {}
    for position, name in enumerate(names):
        line = array.isel(layer=position)
        style: dict[str, Any] = {"color": colors[name], "linestyle": ":" if name == INPUT else "-"}
        if "run" in line.dims:
            for run in range(line.sizes["run"] if line.sizes["run"] > 1 else 0):
                ax.plot(steps, line.isel(run=run).values, alpha=0.3, linewidth=0.6, **style)
            line = line.median("run")
        ax.plot(steps, line.values, label=shorten(name), **style, **marker)
    if chance is not None:
        ax.axhline(chance, color=INK, linestyle="--", linewidth=0.8, label="majority class")
    if is_share(array):
        ax.set_ylim(0.0, 1.02)
        ax.yaxis.set_major_formatter(per_cent)
    else:
        ax.set_ylim(bottom=0.0)
    ax.set_ylabel(wrap(title_of(array), height_of(ax)))
    ax.margins(x=0.01)
    step_axis(ax, steps)
    beside(ax)
