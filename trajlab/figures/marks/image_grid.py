"""Grids of images: a mosaic of small ones on one scale, or a sheet with named rows and columns."""

from collections.abc import Sequence
from math import ceil, sqrt

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb

from trajlab.figures.marks.colors import BROKEN, DIVERGING, GRAYS, OVERLAY, SEQUENTIAL
from trajlab.statistics.attention_iou import resized

PIXEL, CLEAR = 4, 2
"""Pixels of a mosaic that a pixel of an image takes on each side, and that lie between tiles."""

SIDE = 64
"""Pixels that the longer side of a tile of a sheet has at least."""

GAP = 0.06
"""Gap between the tiles of a sheet, in shares of their width."""

LIGHT, STRONG = 0.25, 0.85
"""Opacity of a map over a picture, where the map is least and where it is largest."""


def mosaic(images: np.ndarray, limit: float, ax: Axes, color: bool = True) -> None:
    """Draw images as tiles: gray where they have one channel, in color where they have three, else a column for each.

    Parameters
    ----------
    images
        The images, (image, channel, y, x).
    limit
        Pixels run from -limit to limit, black to white; zero is middle gray.
    ax
        Where to draw.
    color
        Whether three channels are red, green and blue; else each is a tile of its own.
    """
    ax.imshow(tiled(images, limit, color), interpolation="nearest")
    ax.set_axis_off()


def tiled(images: np.ndarray, limit: float, color: bool = True) -> np.ndarray:
    """Return a mosaic as one picture of red, green, blue and opacity, (y, x, 4), with clear gaps between tiles.

    >>> tiled(np.zeros((6, 1, 2, 2)), 1.0).shape, tiled(np.zeros((5, 2, 2, 2)), 1.0).shape
    ((18, 28, 4), (18, 48, 4))
    """
    count, channels, height, width = images.shape
    color = color and channels == 3
    tiles = np.moveaxis(images, 1, -1) if color else images.swapaxes(0, 1).reshape(-1, height, width)[..., None]
    finite = np.isfinite(tiles).all(-1, keepdims=True)
    shade = np.clip(np.where(finite, tiles, 0.0) / (2.0 * limit) + 0.5, 0.0, 1.0)
    colors = np.where(finite, shade, to_rgb(BROKEN)).repeat(PIXEL, 1).repeat(PIXEL, 2)
    picture = np.zeros((*extent(images.shape, color), 4))
    for position, tile in enumerate(colors):
        row, column = divmod(position, _columns(count, channels, color))
        corner = picture[row * (PIXEL * height + CLEAR) :, column * (PIXEL * width + CLEAR) :]
        corner[: PIXEL * height, : PIXEL * width, :3] = tile
        corner[: PIXEL * height, : PIXEL * width, 3] = 1.0
    return picture


def extent(shape: tuple[int, ...], color: bool = True) -> tuple[int, int]:
    """Return the height and width in pixels of the mosaic of images of a shape, (image, channel, y, x)."""
    count, channels, height, width = shape
    color = color and channels == 3
    wide = _columns(count, channels, color)
    tall = ceil(count * (1 if color else channels) / wide)
    return tall * (PIXEL * height + CLEAR) - CLEAR, wide * (PIXEL * width + CLEAR) - CLEAR


def gray_bar(axes: list[Axes], limit: float, label: str) -> None:
    """Add the bar of grays beside axes."""
    bar = axes[0].figure.colorbar(
        ScalarMappable(Normalize(-limit, limit), GRAYS), ax=axes, label=label, fraction=0.04, pad=0.015
    )
    bar.outline.set_visible(False)
    if bar.solids is not None:
        bar.solids.set_rasterized(True)


def _columns(count: int, channels: int, color: bool) -> int:
    """Return the number of tiles side by side: near a square, and if possible without a gap at the end."""
    if channels > 1 and not color:
        return count
    side = ceil(sqrt(count))
    return next((wide for wide in range(side, 2 * side) if count % wide == 0), side)


def picture(image: np.ndarray, limits: tuple[float, float] | None = None) -> np.ndarray:
    """Return an image, (channel, y, x), as RGB, (y, x, 3): three channels in color, else their mean in gray.

    Parameters
    ----------
    image
        The image.
    limits
        Values that are black and white; by default its own.
    """
    image = np.moveaxis(image, 0, -1) if len(image) == 3 else image.mean(0)[..., None].repeat(3, -1)
    low, high = limits or _limits(image)
    shade = np.clip((image - low) / (high - low or 1.0), 0.0, 1.0)
    return _whole(np.where(np.isfinite(image), shade, np.nan))


def signed(image: np.ndarray) -> np.ndarray:
    """Return values, (y, x), in colors that diverge from zero, as strong as the largest of them."""
    limit = max(map(abs, _limits(image))) or 1.0
    return _whole(DIVERGING(image / (2 * limit) + 0.5)[..., :3], image)


def leveled(image: np.ndarray, limits: tuple[float, float] | None = None) -> np.ndarray:
    """Return values, (y, x), in colors from dark to light, between limits, by default their own."""
    low, high = limits or _limits(image)
    return _whole(SEQUENTIAL((image - low) / (high - low or 1.0))[..., :3], image)


def overlaid(image: np.ndarray, map: np.ndarray) -> np.ndarray:
    """Lay a map without negative values, (y, x) of any size, over a picture, (y, x, 3), which becomes gray."""
    ground = enlarged(image).mean(-1, keepdims=True).repeat(3, -1)
    fine = resized(map, ground.shape[:2])
    top = _limits(map)[1]
    share = np.clip(fine / (top or 1.0), 0.0, 1.0) if top > 0 else np.where(np.isfinite(fine), 0.0, np.nan)
    cover = (LIGHT + (STRONG - LIGHT) * share)[..., None]
    return _whole((1 - cover) * ground + cover * OVERLAY(np.nan_to_num(share))[..., :3], fine)


def enlarged(tile: np.ndarray) -> np.ndarray:
    """Return a tile, (y, x, 3), with every pixel repeated until it is large enough."""
    times = ceil(SIDE / max(tile.shape[:2]))
    return tile.repeat(times, 0).repeat(times, 1)


def sheet(
    tiles: Sequence[Sequence[np.ndarray]], ax: Axes, *, rows: Sequence[str], columns: Sequence[str],
    below: Sequence[str] = (), note: str = "",
) -> None:  # fmt: skip
    """Draw tiles, a row below the other.

    Parameters
    ----------
    tiles
        Rows of pictures, (y, x, 3) each, of one shape.
    ax
        Where to draw.
    rows, columns
        Names beside the rows and above the columns.
    below
        What is said below each column.
    note
        What that is.
    """
    drawn = [[enlarged(tile) for tile in row] for row in tiles]
    tall, wide, _ = np.max([tile.shape for row in drawn for tile in row], axis=0)
    gap = max(1, round(GAP * wide))
    whole = np.zeros((len(drawn) * (tall + gap) - gap, len(drawn[0]) * (wide + gap) - gap, 4))
    for i, row in enumerate(drawn):
        for j, tile in enumerate(row):
            corner = whole[i * (tall + gap) :, j * (wide + gap) :]
            corner[: tile.shape[0], : tile.shape[1], :3] = tile
            corner[: tile.shape[0], : tile.shape[1], 3] = 1.0
    ax.imshow(whole, interpolation="nearest")
    ax.set_frame_on(False)
    middle = np.arange(len(drawn[0])) * (wide + gap) + wide / 2 - 0.5
    ax.set_yticks(np.arange(len(drawn)) * (tall + gap) + tall / 2 - 0.5, rows)
    ax.set_xticks(middle if len(below) else [], below or None)
    ax.set_xlabel(note)
    top = ax.secondary_xaxis("top")
    top.set_xticks(middle, columns)
    top.spines["top"].set_visible(False)
    for axis in (ax, top):
        axis.tick_params(length=0)


def ratio(shape: tuple[int, ...], rows: int, columns: int) -> float:
    """Return the height over the width of a sheet of tiles whose last axes have a shape."""
    tall, wide = shape[-2:]
    return rows * (tall + GAP * wide) / (columns * (1 + GAP) * wide)


def _limits(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _whole(colors: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
    """Mark what is NaN or Inf."""
    finite = np.isfinite(colors).all(-1) if values is None else np.isfinite(values)
    return np.where(finite[..., None], colors, to_rgb(BROKEN))
