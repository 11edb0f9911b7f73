"""Fans: quantiles over the steps as bands about the median."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from trajlab.figures.marks.choosing import recorded
from trajlab.figures.marks.labels import step_axis, title_of
from trajlab.figures.marks.scale import CATEGORIES


def fan(quantiles: xr.DataArray, ax: Axes) -> None:
    """Draw quantiles as bands, each between one and its counterpart, about the median.

    Parameters
    ----------
    quantiles
        The quantiles, (step, quantile).
    ax
        Where to draw.
    """
    quantiles = recorded(quantiles).transpose("quantile", "step")
    steps = quantiles["step"].values
    levels = [float(level) for level in quantiles["quantile"].values]
    lower = [
        i for i, level in enumerate(levels) if level < 0.5 and any(np.isclose(1 - level, other) for other in levels)
    ]
    for depth, low in enumerate(lower):
        high = int(np.argmin([abs(1 - levels[low] - other) for other in levels]))
        ax.fill_between(
            steps,
            quantiles[low].values,
            quantiles[high].values,
            color=CATEGORIES[0],
            alpha=0.16 + 0.12 * depth,
            linewidth=0,
            label=f"{100 * levels[low]:g} to {100 * levels[high]:g} %",
        )
    paired = {i for i in lower} | {int(np.argmin([abs(1 - levels[i] - other) for other in levels])) for i in lower}
    for i, level in enumerate(levels):
        if i not in paired:
            ax.plot(
                steps,
                quantiles[i].values,
                color=CATEGORIES[0],
                label="median" if level == 0.5 else f"{100 * level:g} %",
            )
    ax.set_ylabel(title_of(quantiles).replace("quantile [value]", "value"))
    ax.margins(x=0)
    step_axis(ax, steps)
