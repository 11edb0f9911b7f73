"""Matrices: of runs with their values written in the cells, or square pictures of layers, units and samples."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from trajlab.figures.marks.colors import DIVERGING, INK, PAPER, SEQUENTIAL
from trajlab.figures.marks.heat import color_bar, heat, labels
from trajlab.figures.marks.labels import per_cent, shorten, width_of
from trajlab.figures.marks.scale import Scale, is_share, scale_for

MOST = 10
"""Columns up to which the values stand in the cells."""

NAMED = ("layer",)
"""Dims whose labels stand beside rows and columns; of others only the numbers."""


def matrix(array: xr.DataArray, ax: Axes, *, center: float | None = None, scale: Scale | None = None) -> None:
    """Draw a variable of two runs, (run, other), or of two other dims, with its values in the cells if they fit.

    Parameters
    ----------
    array
        What to draw. What is not known stays light gray, as a run with itself.
    ax
        Where to draw.
    center
        Value that the colors diverge from.
    scale
        The colors; by default those that suit the values.
    """
    array = array.transpose("run", "other", ..., missing_dims="ignore")
    columns = str(array.dims[1])
    scale = scale or scale_for(array, center=center)
    mesh = heat(array, ax, scale=scale)
    names = [shorten(name) for name in labels(array, columns)]
    if columns == "other":
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


def square(
    array: xr.DataArray, ax: Axes, scale: Scale, *, bar: bool = True, groups: np.ndarray | None = None,
    by: str = "class",
) -> None:  # fmt: skip
    """Draw a square array, (row, row_other).

    Parameters
    ----------
    array
        What to draw. What is not known stays light gray.
    ax
        Where to draw.
    scale
        The colors.
    bar
        Whether to add a color bar.
    groups
        Group of each row, and column: they are sorted by it, and lines drawn between groups.
    by
        What the groups are.
    """
    rows, columns = map(str, array.dims)
    if groups is not None:
        order = np.argsort(groups, kind="stable")
        array = array.isel({rows: order, columns: order})
    mesh = heat(array, ax, scale=scale, bar=False)
    ax.set_aspect("equal")
    if rows in NAMED:
        names = [shorten(name, 16) for name in labels(array, columns)]
        every = max(1, int(np.ceil(len(names) / max(1.0, width_of(ax) / 0.17))))
        ax.set_xticks(np.arange(len(names))[::every], names[::every], rotation=45, ha="right", rotation_mode="anchor")
        ax.set_xlabel("")
    elif groups is not None:
        group_rows(ax, np.sort(groups), f"{rows}, by {by}", columns=True)
    else:
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(5, integer=True))
            axis.set_major_formatter(ScalarFormatter())
            axis.set_label_text(rows)
    if bar:
        color_bar(mesh, [ax], array, scale)


def squares(
    parts: Mapping[str, xr.DataArray],
    figure: Figure,
    scale: Scale,
    *,
    groups: np.ndarray | None = None,
    by: str = "class",
) -> None:
    """Draw square arrays side by side, on one scale.

    Parameters
    ----------
    parts
        What to draw by title.
    figure
        Where to draw.
    scale
        The colors.
    groups
        Group of each row, and column: they are sorted by it, and lines drawn between groups.
    by
        What the groups are.
    """
    axes = figure.subplots(1, len(parts), squeeze=False, sharey=True)[0]
    for ax, (title, part) in zip(axes, parts.items(), strict=True):
        square(part, ax, scale, bar=False, groups=groups, by=by)
        ax.set_title(title)
        if ax is not axes[0]:
            ax.tick_params(labelleft=False)
            ax.set_ylabel("")
    if axes[-1].collections:
        color_bar(axes[-1].collections[0], list(axes), part, scale)  # type: ignore[arg-type]


def group_rows(ax: Axes, groups: np.ndarray, label: str, *, columns: bool = False) -> None:
    """Part groups of rows, and of columns, by lines, and name each in its middle."""
    bounds = np.flatnonzero(np.diff(groups)) + 1
    for bound in bounds.tolist():
        ax.axhline(bound - 0.5, color=INK, linewidth=0.6)
        if columns:
            ax.axvline(bound - 0.5, color=INK, linewidth=0.6)
    edges = np.concatenate([[0], bounds, [len(groups)]])
    middles, names = (edges[:-1] + edges[1:] - 1) / 2, [str(groups[first]) for first in edges[:-1]]
    every = max(1, -(-len(names) // 10))
    for axis in (ax.xaxis, ax.yaxis) if columns else (ax.yaxis,):
        axis.set_ticks(middles[::every], names[::every])
        axis.set_label_text(label)


def up_to_one(array: xr.DataArray) -> Scale:
    """Return the scale of values up to 1: diverging from zero where some are negative, else from the least one.

    >>> up_to_one(xr.DataArray([-0.5, 0.1])).colors is DIVERGING, up_to_one(xr.DataArray([0.5, 0.6])).norm.vmin
    (True, 0.5)
    """
    finite = array.values[np.isfinite(array.values)]
    low = float(finite.min(initial=1.0))
    return both_ways() if low < 0 else Scale(Normalize(low if low < 1 else 0.0, 1.0), SEQUENTIAL)


def from_zero() -> Scale:
    """Return the scale of values from 0 to 1."""
    return Scale(Normalize(0.0, 1.0), SEQUENTIAL)


def both_ways(reach: float = 1.0) -> Scale:
    """Return a scale that diverges from zero, equally far on both sides."""
    reach = reach if np.isfinite(reach) and reach > 0 else 1.0
    return Scale(TwoSlopeNorm(0.0, -reach, reach), DIVERGING)
