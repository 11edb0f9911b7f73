"""Small multiples: the same picture for each run, on one scale."""

from functools import partial
from math import ceil

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from trajlab.figures.marks.canvas import tall
from trajlab.figures.marks.heat import color_bar, heat
from trajlab.figures.marks.labels import shorten
from trajlab.figures.marks.scale import scale_for
from trajlab.figures.panel import Panel
from trajlab.studies import groups, run_names

MOST = 12
"""Pictures that fit on one page."""


def panel(key: str, title: str, caption: str, array: xr.DataArray, *, center: float | None = None) -> Panel:
    """Give the panel of small multiples of an array, ([run,] row, step)."""
    if array.sizes.get("run", 1) > MOST:
        caption += " “×n” is the mean of n runs that differ in their seed."
    return Panel(key, title, caption.strip(), size(array), partial(multiples, array, center=center))


def multiples(array: xr.DataArray, figure: Figure, *, center: float | None = None) -> None:
    """Draw a heat map for each run, or for each group of runs that differ in their seed, on one scale.

    Parameters
    ----------
    array
        What to draw, ([run,] row, step).
    figure
        Where to draw.
    center
        Value that the colors diverge from.
    """
    parts = parts_of(array)
    scale = scale_for(xr.concat(list(parts.values()), dim="part"), center=center)
    wide = columns(len(parts))
    axes = figure.subplots(ceil(len(parts) / wide), wide, squeeze=False, sharex=True, sharey=True).ravel()
    for ax in axes[len(parts) :]:
        ax.remove()
    for i, (ax, (name, part)) in enumerate(zip(axes, parts.items(), strict=False)):
        mesh = heat(part, ax, scale=scale, bar=False)
        ax.set_title(shorten(name, 26 if wide > 3 else 34))
        ax.tick_params(labelbottom=i + wide >= len(parts))
        ax.set_xlabel("step" if i + wide >= len(parts) else "")
        if i % wide:
            ax.tick_params(labelleft=False)
            ax.set_ylabel("")
    color_bar(mesh, list(axes[: len(parts)]), array, scale)


def size(array: xr.DataArray) -> tuple[float, float]:
    """Give the size in inches that small multiples of an array need."""
    count = len(parts_of(array)) if "run" in array.dims else 1
    rows = next((array.sizes[dim] for dim in array.dims if dim not in ("run", "step")), 1)
    down = ceil(count / columns(count))
    return 9.2, min(down * tall(rows, least=1.0, most=7.0 if down == 1 else 5.0) + 0.4, 14.0)


def columns(count: int) -> int:
    """Give the number of pictures side by side."""
    return count if count <= 3 else 2 if count == 4 else 4 if count in (7, 8) or count > 9 else 3


def parts_of(array: xr.DataArray) -> dict[str, xr.DataArray]:
    """Give what each picture shows: a run, or where these are too many, the mean of a group of so many (×n) runs."""
    if "run" not in array.dims:
        return {"": array}
    if array.sizes["run"] <= MOST:
        return {name: array.isel(run=i, drop=True) for i, name in enumerate(run_names(array))}
    found = list(groups(array).items())
    evenly = np.unique(np.linspace(0, len(found) - 1, min(MOST, len(found))).round().astype(int))
    return {
        f"{found[i][0]} ×{len(found[i][1])}": array.isel(run=found[i][1]).mean("run", keep_attrs=True) for i in evenly
    }
