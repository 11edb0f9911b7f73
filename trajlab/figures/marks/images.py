"""Any variable of images, as a sheet of tiles."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from trajlab.figures.marks.canvas import canvas
from trajlab.figures.marks.image_grid import leveled, picture, ratio, sheet, signed
from trajlab.figures.marks.labels import title_of
from trajlab.figures.marks.selection import choose, recorded

AXES = (("y", "x"), ("map_y", "map_x"), ("map_query", "map_key"))
"""Last dims of a variable that holds images."""

WIDE, TALL = 12, 6
"""Tiles side by side, and one below the other, at most."""

ABOVE = 18
"""Points between a sheet and its title, where the column names stand."""


def holds_images(array: xr.DataArray) -> bool:
    """Return whether the last two dims of a variable are those of images.

    >>> holds_images(xr.DataArray(np.zeros((2, 3, 4)), dims=("unit", "y", "x")))
    True
    """
    return tuple(map(str, array.dims[-2:])) in AXES


def images(result: xr.Dataset, variable: str, ax: Axes | None, **select: Any) -> Axes:
    """Draw the images of a variable at a step, by default the last, of one run; along one dim, or two, or the steps.

    Parameters
    ----------
    result
        A result.
    variable
        Which of its variables; three channels are red, green and blue, of others the mean is shown.
    ax
        Where to draw; a new figure by default.
    select
        Which part of it.
    """
    whole = result[variable]
    labels = {dim: label for dim, label in select.items() if label is not None}
    pixels = (*map(str, whole.dims[-2:]), "channel")
    tiles = [str(dim) for dim in whole.dims if dim not in (*pixels, "run", "step", *labels)]
    if tiles and "step" in whole.dims:
        labels.setdefault("step", recorded(whole)["step"].values[-1])
    tiles = tiles[:2] or [dim for dim in ("step",) if dim in whole.dims and dim not in labels]
    array, title = choose(result, variable, keep=(*tiles, *pixels), **labels)
    columns = tiles[-1] if tiles else ""
    array = array.transpose(*tiles, ..., *whole.dims[-2:])
    counts = [array.sizes[dim] for dim in tiles]
    array = array.isel({dim: slice(most) for dim, most in zip(tiles, _most(tiles), strict=True)})
    values = array.values if "channel" in array.dims else array.values[..., None, :, :]
    values = values.astype(np.float64).reshape(-1, *values.shape[-3:])
    wide = min(array.sizes[columns], WIDE) if tiles else 1
    rows = [list(values[first : first + wide]) for first in range(0, len(values), wide)]
    blank = np.full(values.shape[1:], np.nan)
    rows[-1] += [blank] * (wide - len(rows[-1]))
    ax = canvas(ax, height=min(7.0 * ratio(values.shape, len(rows), wide) + 0.9, 7.0))
    names = [f"{columns} {label}" if wide < 8 else str(label) for label in array[columns].values] if tiles else [""]
    beside = [f"{tiles[0]} {label}" for label in array[tiles[0]].values] if len(tiles) == 2 else [""] * len(rows)
    is_pixels = "channel" in array.dims
    sheet([[_tile(image, is_pixels) for image in row] for row in rows], ax, rows=beside, columns=names[:wide])
    shown = [f"{size} of {count} {dim}s" for dim, size, count in zip(tiles, array.shape, counts, strict=False)
             if size < count]  # fmt: skip
    ax.set_title("; ".join(filter(None, [title_of(whole), title, *shown])), y=1.0, pad=ABOVE)
    return ax


def _most(tiles: list[str]) -> list[int]:
    """Return how many labels of each dim are shown at most."""
    return [WIDE * TALL] if len(tiles) == 1 else [TALL, WIDE]


def _tile(image: np.ndarray, is_pixels: bool) -> np.ndarray:
    """Return a picture of an image, (channel, y, x): pixels, or values from dark to light or diverging from zero."""
    if is_pixels:
        return picture(image)
    return signed(image[0]) if np.nanmin(image, initial=0.0) < 0 else leveled(image[0])
