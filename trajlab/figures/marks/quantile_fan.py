"""Fans: quantiles over the steps as bands about the median."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from trajlab.figures.marks.colors import CATEGORIES
from trajlab.figures.marks.labels import step_axis
from trajlab.figures.marks.selection import recorded
from trajlab.figures.marks.thinning import thinned_band, thinned_line


def quantile_fan(quantiles: xr.DataArray, ax: Axes) -> None:
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
    upper = [int(np.argmin([abs(1 - levels[i] - other) for other in levels])) for i in lower]
    values, gaps = quantiles.values, (np.array([np.nan]),) * 3
    for depth, (low, high) in enumerate(zip(lower, upper, strict=True)):
        parts = [thinned_band(steps, values[low], values[high])]
        if depth + 1 < len(lower):  # two strips beside the bands within, which would shine through
            within = values[lower[depth + 1]], values[upper[depth + 1]]
            parts = [thinned_band(steps, values[low], within[0]), gaps, thinned_band(steps, within[1], values[high])]
        x, bottom, top = (np.concatenate(strips) for strips in zip(*parts, strict=True))
        ax.fill_between(
            x,
            bottom,
            top,
            color=CATEGORIES[0],
            alpha=0.16 + 0.44 * depth / max(len(lower) - 1, 1),
            linewidth=0,
            label=f"{100 * levels[low]:g} to {100 * levels[high]:g} %",
        )
    paired = {*lower, *upper}
    for i, level in enumerate(levels):
        if i not in paired:
            ax.plot(
                *thinned_line(steps, quantiles[i].values),
                color=CATEGORIES[0],
                label="median" if level == 0.5 else f"{100 * level:g} %",
            )
    ax.set_ylabel("value")
    ax.margins(x=0)
    step_axis(ax, steps)
