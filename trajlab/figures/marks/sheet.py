"""Sheets: rows and columns of small pictures, each on a scale of its own or on that of its row or column."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from trajlab.figures.marks.mosaic import BROKEN
from trajlab.statistics.attention_iou import resized

FINE = 64
"""Pixels that a tile is wide or high at least."""

GAP = 0.06
"""Gap between tiles, in shares of their width."""

LIGHT, STRONG = 0.25, 0.85
"""How much of the color of a map hides the picture below it, where the map is least and where it is largest."""


def picture(image: np.ndarray, limits: tuple[float, float] | None = None) -> np.ndarray:
    """Give an image, (channel, y, x), as red, green and blue, (y, x, 3): three channels in color, else their mean gray.

    Parameters
    ----------
    image
        The image.
    limits
        Values that are black and white; by default its own.
    """
    image = np.moveaxis(image, 0, -1) if len(image) == 3 else image.mean(0)[..., None].repeat(3, -1)
    low, high = limits or _limits(image)
    return _whole(np.clip((image - low) / (high - low or 1.0), 0.0, 1.0))


def signed(image: np.ndarray) -> np.ndarray:
    """Give values, (y, x), in colors that diverge from zero, as strong as the largest of them."""
    limit = max(map(abs, _limits(image))) or 1.0
    return _whole(colormaps["RdBu_r"](image / (2 * limit) + 0.5)[..., :3], image)


def leveled(image: np.ndarray, limits: tuple[float, float] | None = None) -> np.ndarray:
    """Give values, (y, x), in colors from dark to light, between limits, by default their own."""
    low, high = limits or _limits(image)
    return _whole(colormaps["viridis"]((image - low) / (high - low or 1.0))[..., :3], image)


def overlaid(image: np.ndarray, map: np.ndarray) -> np.ndarray:
    """Lay a map without negative values, (y, x) of any size, over a picture, (y, x, 3), which becomes gray."""
    ground = enlarged(image).mean(-1, keepdims=True).repeat(3, -1)
    fine = resized(map, ground.shape[:2])
    top = _limits(map)[1]
    share = np.clip(fine / (top or 1.0), 0.0, 1.0) if top > 0 else np.where(np.isfinite(fine), 0.0, np.nan)
    cover = (LIGHT + (STRONG - LIGHT) * share)[..., None]
    return _whole((1 - cover) * ground + cover * colormaps["inferno"](np.nan_to_num(share))[..., :3], fine)


def enlarged(tile: np.ndarray) -> np.ndarray:
    """Give a tile, (y, x, 3), with every pixel repeated until it is large enough."""
    times = ceil(FINE / max(tile.shape[:2]))
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
            place = whole[i * (tall + gap) :, j * (wide + gap) :]
            place[: tile.shape[0], : tile.shape[1], :3] = tile
            place[: tile.shape[0], : tile.shape[1], 3] = 1.0
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
    """Give the height over the width of a sheet of tiles whose last axes have a shape."""
    tall, wide = shape[-2:]
    return rows * (tall + GAP * wide) / (columns * (1 + GAP) * wide)


def _limits(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _whole(colors: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
    """Mark what is NaN or Inf."""
    finite = np.isfinite(colors).all(-1) if values is None else np.isfinite(values)
    return np.where(finite[..., None], colors, to_rgb(BROKEN))
