"""Mosaics: small images side by side, on one scale."""

from math import ceil, sqrt

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb

from trajlab.figures.marks.scale import CATEGORIES

FINE, GAP = 4, 2
"""A pixel of an image is so many pixels of the mosaic wide, and the gap between tiles so many."""

BROKEN = CATEGORIES[1]
"""Color of pixels that are NaN or Inf, which is orange."""


def mosaic(images: np.ndarray, limit: float, ax: Axes) -> None:
    """Draw images as tiles: gray where they have one channel, in color where they have three, else a column for each.

    Parameters
    ----------
    images
        The images, (image, channel, y, x).
    limit
        Pixels run from -limit to limit, black to white; zero is middle gray.
    ax
        Where to draw.
    """
    ax.imshow(tiled(images, limit), interpolation="nearest")
    ax.set_axis_off()


def tiled(images: np.ndarray, limit: float) -> np.ndarray:
    """Give a mosaic as one picture of red, green, blue and opacity, (y, x, 4), with clear gaps between tiles.

    >>> tiled(np.zeros((6, 1, 2, 2)), 1.0).shape, tiled(np.zeros((5, 2, 2, 2)), 1.0).shape
    ((18, 28, 4), (18, 48, 4))
    """
    count, channels, height, width = images.shape
    tiles = np.moveaxis(images, 1, -1) if channels == 3 else images.swapaxes(0, 1).reshape(-1, height, width)[..., None]
    finite = np.isfinite(tiles).all(-1, keepdims=True)
    shade = np.clip(np.where(finite, tiles, 0.0) / (2.0 * limit) + 0.5, 0.0, 1.0)
    colors = np.where(finite, shade, to_rgb(BROKEN)).repeat(FINE, 1).repeat(FINE, 2)
    picture = np.zeros((*extent(images.shape), 4))
    for position, tile in enumerate(colors):
        row, column = divmod(position, _columns(count, channels))
        place = picture[row * (FINE * height + GAP) :, column * (FINE * width + GAP) :]
        place[: FINE * height, : FINE * width, :3] = tile
        place[: FINE * height, : FINE * width, 3] = 1.0
    return picture


def extent(shape: tuple[int, ...]) -> tuple[int, int]:
    """Give the height and width in pixels of the mosaic of images of a shape, (image, channel, y, x)."""
    count, channels, height, width = shape
    wide = _columns(count, channels)
    tall = ceil(count * (channels if channels != 3 else 1) / wide)
    return tall * (FINE * height + GAP) - GAP, wide * (FINE * width + GAP) - GAP


def gray_bar(axes: list[Axes], limit: float, label: str) -> None:
    """Add the bar of grays beside axes."""
    bar = axes[0].figure.colorbar(
        ScalarMappable(Normalize(-limit, limit), "gray"), ax=axes, label=label, fraction=0.04, pad=0.015
    )
    bar.outline.set_visible(False)
    if bar.solids is not None:
        bar.solids.set_rasterized(True)


def _columns(count: int, channels: int) -> int:
    """Give the number of tiles side by side: near a square, and without a gap at the end if that can be had."""
    if channels not in (1, 3):
        return count
    side = ceil(sqrt(count))
    return next((wide for wide in range(side, 2 * side) if count % wide == 0), side)
