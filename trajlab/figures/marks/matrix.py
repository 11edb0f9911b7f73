"""Matrices of runs by runs."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from trajlab.figures.marks.heat import heat, labels
from trajlab.figures.marks.labels import per_cent, shorten
from trajlab.figures.marks.scale import INK, PAPER, Scale, is_share, scale_for

MOST = 10
"""Columns up to which the values stand in the cells."""


def matrix(array: xr.DataArray, ax: Axes, *, center: float | None = None) -> None:
    """Draw a variable of two runs, (run, other), with its values in the cells where there is room.

    Parameters
    ----------
    array
        What to draw. What is not known stays light gray, as a run with itself.
    ax
        Where to draw.
    center
        Value that the colors diverge from.
    """
    array = array.transpose("run", "other")
    scale = scale_for(array, center=center)
    mesh = heat(array, ax, scale=scale)
    names = [shorten(name) for name in labels(array, "other")]
    ax.set_xticks(np.arange(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_xlabel("")
    if len(names) > MOST:
        return
    colors = mesh.to_rgba(scale.show(array.values.astype(np.float64)))
    for (row, column), value in np.ndenumerate(array.values):
        if np.isfinite(value):
            bright = colors[row, column, :3] @ (0.299, 0.587, 0.114) > 0.5
            ax.text(
                column, row, written(array, scale, float(value)), ha="center", va="center",
                color=INK if bright else PAPER, fontsize="small",
            )  # fmt: skip


def written(array: xr.DataArray, scale: Scale, value: float) -> str:
    """Write a value as it fits into a cell."""
    if is_share(array):
        return per_cent(round(value, 3))
    return f"{value:.0e}" if isinstance(scale.norm, LogNorm) and value < 0.01 else f"{value:.3g}"
