"""Box plots from quantiles that are known already."""

import numpy as np
from matplotlib.axes import Axes

from trajlab.figures.marks.colors import INK

MOST = 48
"""Largest number of boxes on one axis; of more, an evenly spaced subset is drawn."""


def boxes(quantiles: np.ndarray, means: np.ndarray, ax: Axes, *, color: str) -> int:
    """Draw a box for each column, in the order of their means; return how many are drawn.

    Boxes go from the lower to the upper quartile, with a line at the median and a point at the mean; whiskers reach to
    the least and the largest value.

    Parameters
    ----------
    quantiles
        Least, lower quartile, median, upper quartile and largest, (column, 5). Columns with NaN are left out.
    means
        Mean of each.
    ax
        Where to draw.
    color
        Color of the boxes.
    """
    is_known = np.flatnonzero(np.isfinite(quantiles).all(1) & np.isfinite(means))
    order = is_known[np.argsort(-means[is_known], kind="stable")]
    shown = np.unique(np.linspace(0, len(order) - 1, min(MOST, len(order))).round().astype(int))
    stats = [
        dict(zip(("whislo", "q1", "med", "q3", "whishi"), quantiles[order[position]], strict=True))
        for position in shown
    ]
    ax.bxp(
        stats,
        positions=shown,
        widths=0.7 * max(len(order) / max(len(shown), 1), 1.0),
        showfliers=False,
        showcaps=False,
        patch_artist=True,
        manage_ticks=False,
        boxprops={"facecolor": color, "edgecolor": "none", "alpha": 0.55},
        medianprops={"color": INK, "linewidth": 1.0},
        whiskerprops={"color": color, "linewidth": 0.8},
    )
    ax.plot(shown, means[order[shown]], ".", color=INK, markersize=2.5)
    ax.set_xlim(-0.8, max(len(order), 1) - 0.2)
    return len(shown)
