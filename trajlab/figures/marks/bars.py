"""Stacked bars: what the entries of each layer are made up of."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from trajlab.figures.marks.colors import CATEGORIES
from trajlab.figures.marks.heat import labels
from trajlab.figures.marks.labels import name_rows, per_cent
from trajlab.figures.marks.lines import beside


def stacked(shares: xr.DataArray, ax: Axes, *, parts: str) -> None:
    """Draw shares of a whole as a bar for each row, one color for each part.

    Parameters
    ----------
    shares
        Shares from 0 to 1, (row, part).
    ax
        Where to draw.
    parts
        Dim of the parts.
    """
    rows = next(str(dim) for dim in shares.dims if dim != parts)
    left = np.zeros(shares.sizes[rows])
    for i, name in enumerate(labels(shares, parts)):
        width = np.nan_to_num(shares.isel({parts: i}).values)
        ax.barh(np.arange(len(left)), width, left=left, height=0.72, color=CATEGORIES[i], label=name.replace("_", " "))
        left += width
    ax.set_ylim(len(left) - 0.5, -0.5)
    ax.set_xlim(0.0, 1.0 if left.max(initial=0.0) > 0.3 else max(1.08 * left.max(initial=0.0), 0.01))
    ax.xaxis.set_major_formatter(per_cent)
    name_rows(ax, labels(shares, rows))
    beside(ax)
