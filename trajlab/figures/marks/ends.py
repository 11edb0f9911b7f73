"""Histograms of the first step beside those of the last: a column for each layer, a row for each kind of run."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trajlab.errors import BadSetting
from trajlab.figures.marks.canvas import canvas
from trajlab.figures.marks.colors import CATEGORIES, INK
from trajlab.figures.marks.labels import shorten, shorten_to
from trajlab.figures.marks.selection import recorded
from trajlab.figures.panel import Panel
from trajlab.statistics.shown_steps import evenly
from trajlab.statistics.studies import groups, run_labels

ENDS = "first_and_last"
"""Value of `variable` that draws the histograms of the first and the last step."""

ROWS, COLUMNS = 8, 4
"""Kinds of runs, and layers, at most."""


def rows_of(result: xr.Dataset) -> dict[str, int | None]:
    """Return the position of the run in each row: the first of each group, or of a single group each run."""
    if "run" not in result.dims:
        return {"": None}
    first = {name: positions[0] for name, positions in groups(result).items()}
    every = {name: position for position, name in enumerate(run_labels(result))}
    runs: dict[str, int | None] = {**first} if len(first) > 1 else {**every}
    return {list(runs)[i]: list(runs.values())[i] for i in evenly(len(runs), ROWS)}


def size_of(result: xr.Dataset, shown: Sequence[str]) -> tuple[float, float]:
    """Return the width and height in inches of the grid of some layers."""
    return min(2.3 * len(shown) + 0.8, 9.2), 1.15 * len(rows_of(result)) + 0.8


def grid(result: xr.Dataset, dim: str, shown: Sequence[str], figure: Figure, spec: Any = None) -> Axes:
    """Draw the density of values at the first and at the last step, on axes of each layer and kind of run.

    Parameters
    ----------
    result
        Holds `histogram`, ([run,] step, dim, bin), and `bin_edges`.
    dim
        The dim over layers.
    shown
        Labels of the layers that are shown.
    figure
        Where to draw.
    spec
        Part of it to draw in; by default all.
    """
    rows = rows_of(result)
    grid_spec = figure.add_gridspec(len(rows), len(shown)) if spec is None else spec.subgridspec(len(rows), len(shown))
    axes = grid_spec.subplots(squeeze=False)
    for number, (line, (name, run)) in enumerate(zip(axes, rows.items(), strict=True)):
        part = result if run is None else result.isel(run=run)
        for ax, layer in zip(line, shown, strict=True):
            chosen = part.sel({dim: layer}) if dim in part.dims else part
            _draw(chosen["histogram"], chosen["bin_edges"], ax)
            if number == 0:
                ax.set_title(shorten_to(ax, layer))
        label = "\n".join(shorten(part, 18) for part in name.split(" · "))
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    steps = recorded(result["histogram"])["step"].values
    handles = [Line2D([], [], color=INK, label=f"step {steps[0]:,}"),
               Line2D([], [], color=CATEGORIES[0], linewidth=5, label=f"step {steps[-1]:,}")]  # fmt: skip
    axes[0, -1].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    return axes[0, 0]


def alone(result: xr.Dataset, dim: str, shown: Sequence[str], ax: Axes | None) -> Axes:
    """Draw the grid in place of axes, or on a new figure.

    Raises
    ------
    BadSetting
        The axes are no part of a grid of axes.
    """
    width, height = size_of(result, shown)
    is_new = ax is None
    ax = canvas(ax, height=height, width=width + 1.0)
    spec, figure = ax.get_subplotspec(), ax.get_figure(root=True)
    if spec is None or figure is None:
        raise BadSetting(f"cannot draw {ENDS} on these axes; make them with subplots, or leave ax out")
    if not is_new and len(figure.axes) == 1:
        figure.set_size_inches(width + 1.0, height)
    ax.remove()
    return grid(result, dim, shown, figure, spec)


def panel(result: xr.Dataset, dim: str, shown: Sequence[str], what: str) -> Panel:
    """Return the panel of the grid."""
    caption = f"Density of the {what} at the first step (line) and at the last (filled)"
    several = len(rows_of(result)) > 1
    caption += ", a row for each kind of run. A row shows the first run of its kind." if several else "."
    shown = shown[:COLUMNS] if len(shown) <= COLUMNS else [shown[i] for i in evenly(len(shown), COLUMNS)]
    count = result.sizes.get(dim, 1)
    caption += f" {len(shown)} of {count} {dim}s." if len(shown) < count else ""
    draw = partial(grid, result, dim, shown)
    return Panel("ends", "First and last step", caption, (9.2, size_of(result, shown)[1]), draw)


def _draw(histogram: xr.DataArray, edges: xr.DataArray, ax: Axes) -> None:
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    counts = recorded(histogram).transpose("step", "bin").values[[0, -1]].astype(np.float64)
    bins = edges.values
    widths = np.diff(bins)
    if not (np.isfinite(bins).all() and (widths > 0).all() and np.isfinite(counts).all() and (counts.sum(1) > 0).all()):
        ax.text(0.5, 0.5, "no spread", transform=ax.transAxes, ha="center", va="center")
        return
    first, last = counts / counts.sum(1, keepdims=True) / widths
    ax.stairs(last, bins, fill=True, color=CATEGORIES[0], alpha=0.75)
    ax.stairs(first, bins, color=INK, linewidth=0.9)
    ax.set_xlim(bins[0], bins[-1])
    ax.set_ylim(0.0, 1.08 * max(min(first.max(), 3 * last.max()), min(last.max(), 3 * first.max())))
    ax.locator_params(axis="x", nbins=3)
