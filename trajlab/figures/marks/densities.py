"""Densities of values over the steps."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm

from trajlab.figures.marks.colors import PAPER, SEQUENTIAL
from trajlab.figures.marks.heat import edges
from trajlab.figures.marks.labels import step_axis, value_axis
from trajlab.figures.marks.selection import recorded

FAINTEST = 1e-3
"""Density, in shares of the highest, that still has a color of its own."""


def densities(histogram: xr.DataArray, bins: np.ndarray, ax: Axes, *, bar: bool = True) -> None:
    """Draw the density of values at each step, dark to light, in shares of the densest bin of all steps.

    Parameters
    ----------
    histogram
        Entries in each bin, (step, bin).
    bins
        Edges of the bins.
    ax
        Where to draw.
    bar
        Whether to add a color bar.
    """
    histogram = recorded(histogram).transpose("bin", "step")
    widths = np.diff(bins)[:, None]
    step_axis(ax, histogram["step"].values)
    ax.set_ylabel("value")
    ax.set_facecolor(PAPER)
    if not (np.isfinite(bins).all() and (widths > 0).all() and (histogram > 0).any()):
        ax.text(0.5, 0.5, "no spread", transform=ax.transAxes, ha="center", va="center")
        return
    counts = histogram.values
    density = counts / np.maximum(counts.sum(axis=0), 1) / widths
    share = np.ma.masked_less_equal(density / density.max(), 0.0)
    x = edges(histogram["step"].values)
    mesh = ax.pcolormesh(x, bins, share, norm=LogNorm(FAINTEST, 1.0), cmap=SEQUENTIAL, rasterized=True)
    if bar:
        density_bar(mesh, [ax])


def density_bar(mesh: QuadMesh, axes: list[Axes]) -> None:
    """Add a color bar for densities beside axes."""
    bar = axes[0].figure.colorbar(mesh, ax=axes, extend="min", label="density, peak = 1", fraction=0.04, pad=0.015)
    value_axis(bar.ax.yaxis, xr.DataArray(), log=True)
    bar.outline.set_visible(False)
    if bar.solids is not None:
        bar.solids.set_rasterized(True)
