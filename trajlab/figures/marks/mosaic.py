"""Mosaics: small images side by side, on one scale."""

from math import ceil, sqrt

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb

from trajlab.figures.marks.scale import CATEGORIES

BROKEN = CATEGORIES[1]
"""Color of pixels that are NaN or Inf, which is orange."""


def mosaic(images: np.ndarray, limit: float, ax: Axes) -> None:
    """Draw images as tiles: gray where they have one channel, in color where they have three, else a row for each.

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
    """Give a mosaic as one picture of red, green, blue and opacity, (y, x, 4), with a clear pixel between tiles.

    >>> tiled(np.zeros((6, 1, 2, 2)), 1.0).shape, tiled(np.zeros((2, 5, 2, 2)), 1.0).shape
    ((5, 8, 4), (5, 14, 4))
    """
    count, channels, height, width = images.shape
    pixels = np.moveaxis(images, 1, -1) if channels == 3 else images.reshape(-1, height, width)[..., None]
    finite = np.isfinite(pixels).all(-1, keepdims=True)
    shade = np.clip(np.where(finite, pixels, 0.0) / (2.0 * limit) + 0.5, 0.0, 1.0)
    colors = np.where(finite, shade, to_rgb(BROKEN))
    picture = np.zeros((*extent(images.shape), 4))
    for position, tile in enumerate(colors):
        row, column = divmod(position, _columns(count, channels))
        place = picture[row * (height + 1) :, column * (width + 1) :][:height, :width]
        place[..., :3], place[..., 3] = tile, 1.0
    return picture


def extent(shape: tuple[int, ...]) -> tuple[int, int]:
    """Give the height and width in pixels of the mosaic of images of a shape, (image, channel, y, x)."""
    count, channels, height, width = shape
    wide = _columns(count, channels)
    tall = ceil(count * (channels if channels != 3 else 1) / wide)
    return tall * (height + 1) - 1, wide * (width + 1) - 1


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
        return channels
    side = ceil(sqrt(count))
    return next((wide for wide in range(side, 2 * side) if count % wide == 0), side)
