"""Small multiples: the same picture for each run, on one scale."""

from collections.abc import Sequence
from functools import partial
from math import ceil

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from trajlab.figures.marks.canvas import tall
from trajlab.figures.marks.heat import color_bar, heat, row_groups
from trajlab.figures.marks.labels import shorten_to
from trajlab.figures.marks.scale import scale_for
from trajlab.figures.marks.selection import recorded
from trajlab.figures.panel import Panel
from trajlab.statistics.studies import averages_over_runs, groups, run_labels

MOST = 12
"""Pictures that fit on one page."""


def panel(
    key: str, title: str, caption: str, array: xr.DataArray, *, center: float | None = None, reach: float = 0.0,
    unknown: str = "Gray: not known.",
) -> Panel:  # fmt: skip
    """Return the panel of small multiples of an array, ([run,] row, step)."""
    if array.sizes.get("run", 1) > MOST:
        members = groups(array)
        what = "is the mean of" if averages_over_runs(array) else "is the first of"
        caption += f" “×n” {what} n runs that differ in their seed." if len(members) < array.sizes["run"] else ""
        caption += f" {MOST} of {len(members)} groups of runs." if len(members) > MOST else ""
    if row_groups(array, _rows(array)) is not None:
        caption += " Rows are by role, and in each by block; biases and norms are below."
    if bool(recorded(array).isnull().any()):
        caption += f" {unknown}"
    return Panel(key, title, caption.strip(), size(array), partial(multiples, array, center=center, reach=reach))


def multiples(array: xr.DataArray, figure: Figure, *, center: float | None = None, reach: float = 0.0) -> None:
    """Draw a heat map for each run, or for each group of runs that differ in their seed, on one scale.

    Parameters
    ----------
    array
        What to draw, ([run,] row, step).
    figure
        Where to draw.
    center
        Value that the colors diverge from.
    reach
        How far the colors reach at least on both sides of it.
    """
    parts = parts_of(recorded(array))
    scale = scale_for(xr.concat(list(parts.values()), dim="part"), center=center, reach=reach, rows=_rows(array))
    wide = columns(len(parts))
    axes = figure.subplots(ceil(len(parts) / wide), wide, squeeze=False, sharex=True, sharey=True).ravel()
    for ax in axes[len(parts) :]:
        ax.remove()
    for i, (ax, (name, part)) in enumerate(zip(axes, parts.items(), strict=False)):
        mesh = heat(part, ax, scale=scale, bar=False, every=True)
        ax.set_title(shorten_to(ax, name))
        ax.tick_params(labelbottom=i + wide >= len(parts))
        ax.set_xlabel("step" if i + wide >= len(parts) else "")
        if i % wide:
            ax.tick_params(labelleft=False)
            ax.set_ylabel("")
    color_bar(mesh, list(axes[: len(parts)]), array, scale)


def size(array: xr.DataArray) -> tuple[float, float]:
    """Return the size in inches that small multiples of an array need."""
    count = len(parts_of(array)) if "run" in array.dims else 1
    rows = array.sizes.get(_rows(array), 1)
    down = ceil(count / columns(count))
    return 9.2, min(down * tall(rows, least=1.0, most=7.0 if down == 1 else 5.0) + 0.4, 14.0)


def _rows(array: xr.DataArray) -> str:
    """Return the dim of the rows."""
    return next((str(dim) for dim in array.dims if dim not in ("run", "step")), "")


def columns(count: int) -> int:
    """Return the number of pictures side by side."""
    return count if count <= 3 else 2 if count == 4 else 4 if count in (7, 8) or count > 9 else 3


def parts_of(array: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return the array that each picture shows, by its title.

    A picture shows a run. With more than MOST runs it shows the mean of a group of n runs, marked ×n, or its first run
    for variables without a mean over runs, such as single units.
    """
    if "run" not in array.dims:
        return {"": array}
    if array.sizes["run"] <= MOST:
        return {name: array.isel(run=i, drop=True) for i, name in enumerate(run_labels(array))}
    members = list(groups(array).items())
    shown = {counted(*members[i]): members[i][1] for i in some_of(len(members))}
    if not averages_over_runs(array):
        return {name: array.isel(run=runs[0], drop=True) for name, runs in shown.items()}
    return {name: array.isel(run=runs).mean("run", keep_attrs=True) for name, runs in shown.items()}


def some_of(count: int) -> list[int]:
    """Return the positions of as many as fit on a page, spread evenly over all.

    >>> some_of(14)
    [0, 1, 2, 4, 5, 6, 7, 8, 9, 11, 12, 13]
    """
    return np.unique(np.linspace(0, count - 1, min(MOST, count)).round().astype(int)).tolist()


def counted(name: str, runs: Sequence[int]) -> str:
    """Name a group of runs with how many there are, where there are several."""
    return f"{name} ×{len(runs)}" if len(runs) > 1 else name
