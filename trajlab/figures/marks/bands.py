"""Bands over the steps: of many runs the median of each group that differs in its seed only, and its range."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from trajlab.figures.marks.colors import CATEGORIES
from trajlab.figures.marks.lines import beside, finish, is_log, lines, styles_of
from trajlab.figures.marks.thinning import thinned_band, thinned_line
from trajlab.statistics.studies import groups

FEW = 8
"""Runs up to which each has a line of its own."""

SEEDS = 3
"""Runs of a group from which on there is a range to speak of."""

FAR = 100.0
"""Groups whose values are this factor above the median group's are left outside where the axis would hide the rest."""

CAPTION = "Lines are medians of the runs that differ in their seed, bands their ranges."


def is_banded(array: xr.DataArray) -> bool:
    """Return whether runs are too many for lines of their own, and groups of them large enough for a range."""
    if "run" not in array.dims or array.sizes["run"] <= FEW:
        return False
    return max(map(len, groups(array).values())) >= SEEDS


def caption(text: str, array: xr.DataArray) -> str:
    """Add to a caption what lines and bands are, where there are any."""
    return f"{text} {CAPTION if is_banded(array) else ''}".strip()


def bands(array: xr.DataArray, ax: Axes, *, log: bool = False) -> None:
    """Draw a variable over the steps: a line for each run, or of many for each group of them with its range.

    Parameters
    ----------
    array
        What to draw, ([run,] step).
    ax
        Where to draw.
    log
        Whether the scale is logarithmic even if values span few decades.
    """
    if not is_banded(array):
        lines(array, ax, log=log)
        return
    outside = far_groups(array)
    shown_groups = {name: runs for name, runs in groups(array).items() if name not in outside}
    shown = array.isel(run=sorted(run for runs in shown_groups.values() for run in runs))
    log = is_log(shown, log)
    ordered = array.transpose("step", "run")
    styles, legend = styles_of(array.isel(run=[runs[0] for runs in groups(array).values()]), "run")
    for (name, runs), style in zip(groups(array).items(), styles, strict=True):
        if name in shown_groups:
            values = ordered.isel(run=runs).values.astype(np.float64)
            _band(
                array["step"].values,
                values,
                ax,
                log,
                style if len(shown_groups) > 1 or outside else {"color": CATEGORIES[0]},
            )
    finish(shown, ax, log)
    if len(groups(array)) > 1:
        beside(ax, legend)
    if outside:
        ax.set_title(f"outside: {', '.join(outside)}")


def far_groups(array: xr.DataArray) -> list[str]:
    """Return the groups of runs with a maximum above `FAR` times the median of the groups; none if a value is < 0."""
    values = array.transpose("run", "step").values.astype(np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    if np.isnan(values).all() or np.nanmin(values) < 0:
        return []
    tops = {name: float(np.nanmax(values[runs], initial=0.0)) for name, runs in groups(array).items()}
    usual = float(np.median(list(tops.values())))
    return [name for name, top in tops.items() if top > FAR * usual > 0]


def _band(steps: np.ndarray, values: np.ndarray, ax: Axes, log: bool, style: dict[str, Any]) -> None:
    """Draw the median of the runs and their range, (step, run), at the steps at which any is known."""
    values = np.where(np.isfinite(values) & ((values > 0) | (not log)), values, np.nan)
    is_known = np.isfinite(values).any(1)
    steps, values = steps[is_known], values[is_known]
    least, middle, most = (f(values, axis=1) for f in (np.nanmin, np.nanmedian, np.nanmax))
    ax.fill_between(*thinned_band(steps, least, most), color=style["color"], alpha=0.18, linewidth=0)
    ax.plot(*thinned_line(steps, middle), **style | {"alpha": 1.0})
