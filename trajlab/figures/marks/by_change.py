"""Densities of the entries that changed and of those that did not, in one set of axes."""

from math import ceil

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trajlab.figures.marks.colors import CATEGORIES, INK
from trajlab.figures.marks.labels import shorten_to
from trajlab.statistics.wording import share

GROUPS = ("histogram_changed", "histogram_unchanged")
"""Variables of changed and unchanged entries."""

COLUMNS = 3
"""Number of columns of a grid."""


def by_change(result: xr.Dataset, ax: Axes) -> None:
    """Draw the density of changed entries, filled, and of unchanged ones, as a line, and write the share that changed.

    Parameters
    ----------
    result
        Holds `GROUPS`, (bin), and `bin_edges`, (bin_edge), of one parameter at one step.
    ax
        Where to draw.
    """
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    edges = result["bin_edges"].values
    counts = np.array([result[name].values for name in GROUPS], np.float64)
    widths, entries = np.diff(edges), counts.sum(1, keepdims=True)
    if not (np.isfinite(edges).all() and (widths > 0).all() and entries.sum() > 0):
        ax.text(0.5, 0.5, "no spread", transform=ax.transAxes, ha="center", va="center")
        return
    changed, unchanged = np.divide(counts, entries * widths, out=np.zeros_like(counts), where=entries > 0)
    ax.stairs(changed, edges, fill=True, color=CATEGORIES[0], alpha=0.75, label="changed")
    ax.stairs(unchanged, edges, color=INK, linewidth=0.9, label="unchanged")
    ax.set_xlim(edges[0], edges[-1])
    peaks = [group.max() for group in (changed, unchanged) if group.any()]
    highest = min(max(peaks), 3 * min(peaks))  # a spike of few entries would flatten the other group
    ax.set_ylim(0.0, 1.08 * highest)
    ax.locator_params(axis="x", nbins=3)
    text = f"{share(float(entries[0, 0] / entries.sum()))} changed"
    ax.text(0.98, 0.95, text, transform=ax.transAxes, ha="right", va="top", fontsize="small")


def legend_beside(ax: Axes) -> None:
    """Draw the legend of both groups to the right of axes."""
    handles = [
        Line2D([], [], color=CATEGORIES[0], linewidth=5, label="changed"),
        Line2D([], [], color=INK, label="unchanged"),
    ]
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)


def mixed(result: xr.Dataset) -> np.ndarray:
    """Return which parameters have both changed and unchanged entries, (parameter) bool."""
    changed, unchanged = (result[name].sum("bin").transpose("parameter").values for name in GROUPS)
    return (changed > 0) & (unchanged > 0)


def height(count: int) -> float:
    """Return the height in inches of the grid of n parameters."""
    return 1.5 * ceil(count / COLUMNS) + 0.4


def grid(result: xr.Dataset, shown: list[str], figure: Figure) -> None:
    """Draw both groups of several parameters at one step.

    Parameters
    ----------
    result
        Holds `GROUPS`, (parameter, bin), and `bin_edges`, (parameter, bin_edge).
    shown
        Names of the parameters.
    figure
        Where to draw.
    """
    axes = figure.subplots(ceil(len(shown) / COLUMNS), min(COLUMNS, len(shown)), squeeze=False).ravel()
    for ax in axes[len(shown) :]:
        ax.remove()
    for ax, name in zip(axes, shown, strict=False):
        by_change(result.sel(parameter=name), ax)
        ax.set_title(shorten_to(ax, name))
    legend_beside(axes[min(COLUMNS, len(shown)) - 1])
