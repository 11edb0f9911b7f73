"""Heat maps: rows from top to bottom, mostly layers as data meets them, by steps."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm

from trajlab.figures.marks.colors import MISSING, PAPER
from trajlab.figures.marks.empty import say_if_empty
from trajlab.figures.marks.labels import name_groups, name_rows, name_steps, step_axis, title_of, value_axis, wrap
from trajlab.figures.marks.scale import Scale, scale_for
from trajlab.figures.marks.selection import recorded
from trajlab.statistics.roles import Group, groups_of
from trajlab.statistics.studies import run_labels, short_names

FEW = 12
"""Steps up to which each is a column of one width."""


def heat(
    array: xr.DataArray, ax: Axes, *, scale: Scale | None = None, bar: bool = True, every: bool = False
) -> QuadMesh:
    """Draw a variable of two dims: `step` along x, the other as rows.

    Few steps are columns of one width with their names below; of more, columns are as wide as steps lie apart.

    Parameters
    ----------
    array
        What to draw, (row, step) or any two dims. What is not known stays light gray.
    ax
        Where to draw.
    scale
        Colors, if they are shared with other axes.
    bar
        Whether to add a color bar.
    every
        Whether to show also the steps at which nothing is known.
    """
    array = array if every else recorded(array)
    columns = "step" if "step" in array.dims else str(array.dims[-1])
    array = array.transpose(..., columns)
    scale = scale or scale_for(array)
    rows = str(array.dims[0])
    groups = row_groups(array, rows)
    if groups is not None:
        array = array.isel({rows: [member for group in groups for member in group.members]})
    timed = columns == "step" and array.sizes["step"] > FEW
    x = edges(array["step"].values) if timed else np.arange(array.sizes[columns] + 1) - 0.5
    y = np.arange(array.sizes[rows] + 1) - 0.5
    values = np.ma.masked_invalid(scale.show(array.values.astype(np.float64)))
    ax.set_facecolor(MISSING)
    mesh = ax.pcolormesh(x, y, values, norm=scale.norm, cmap=scale.colors, rasterized=True)
    ax.set_ylim(array.sizes[rows] - 0.5, -0.5)
    if groups is None:
        name_rows(ax, labels(array, rows))
    else:
        sizes = [len(group.members) for group in groups]
        name_groups(ax, [group.label for group in groups], sizes)
        for edge in np.cumsum(sizes)[:-1]:
            ax.axhline(edge - 0.5, color=PAPER, linewidth=0.8)
    if rows not in ("parameter", "layer", "run"):
        ax.set_ylabel(rows)
    if timed:
        step_axis(ax, array["step"].values)
    elif columns == "step":
        name_steps(ax, array["step"].values)
    else:
        names = labels(array, columns)
        thin = max(1, len(names) // 12)
        ax.set_xticks(np.arange(len(names))[::thin], names[::thin])
        ax.set_xlabel(columns)
    say_if_empty(array, ax)
    if bar:
        color_bar(mesh, [ax], array, scale)
    return mesh


def row_groups(array: xr.DataArray, rows: str) -> list[Group] | None:
    """Return the rows by role where they are many parameters or layers of repeated blocks, else None."""
    if rows not in ("parameter", "layer") or rows not in array.coords:
        return None
    has_kinds = "kind" in array.coords and array["kind"].dims == (rows,)
    kinds = array["kind"].values.tolist() if has_kinds else []
    return groups_of([str(name) for name in array[rows].values], kinds)


def color_bar(mesh: QuadMesh, axes: Sequence[Axes], array: xr.DataArray, scale: Scale) -> None:
    """Add a color bar beside axes that share a scale."""
    figure = axes[0].figure
    boxes = [ax.get_position() for ax in axes]
    tall = (max(box.y1 for box in boxes) - min(box.y0 for box in boxes)) * figure.get_figure(root=True).get_figheight()
    bar = figure.colorbar(
        mesh, ax=list(axes), extend=scale.extend, label=wrap(title_of(array), tall), fraction=0.04, pad=0.015
    )
    value_axis(bar.ax.yaxis, array, log=isinstance(scale.norm, LogNorm))
    bar.outline.set_visible(False)
    if bar.solids is not None:
        bar.solids.set_rasterized(True)


def edges(steps: np.ndarray) -> np.ndarray:
    """Return the edges between steps, midway; what is shown begins with the first and ends with the last.

    >>> edges(np.array([0, 10, 30]))
    array([ 0.,  5., 20., 30.])
    """
    steps = np.asarray(steps, np.float64)
    if len(steps) == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    middle = (steps[1:] + steps[:-1]) / 2
    return np.concatenate([steps[:1], middle, steps[-1:]])


def labels(array: xr.DataArray, dim: str) -> list[str]:
    """Return the labels along a dim, or its positions if it has none; of runs, without what all their names share."""
    if dim not in array.coords:
        return [str(position) for position in range(array.sizes[dim])]
    if dim == "run":
        return run_labels(array)
    values = array[dim].values
    if dim == "other":
        return short_names([str(name) for name in values])
    return [f"{value:g}" for value in values] if values.dtype.kind == "f" else [str(value) for value in values]
