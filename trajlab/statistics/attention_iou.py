"""Overlap of two maps of the same image (attention IoU), and resizing of maps."""

from collections.abc import Sequence

import numpy as np


def attention_iou(first: np.ndarray, second: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Return the attention IoU of two maps: Σ PQ / Σ ((P + Q) / 2)², each scaled to the sum 1 first.

    It is 1 for equal maps and 0 for maps without a common position (Serianni et al. 2025, arXiv:2503.19846). It is NaN
    for a map that is 0 everywhere or holds NaN or Inf.

    Parameters
    ----------
    first, second
        Maps without negative values; their other axes are broadcast.
    axes
        Axes over the positions, counted from the end.

    Examples
    --------
    >>> left, both = np.array([1.0, 0.0]), np.array([1.0, 1.0])
    >>> [float(attention_iou(left, map, (-1,))) for map in (3 * left, both, 1 - left, 0 * left)]
    [1.0, 0.8, 0.0, nan]
    """
    with np.errstate(all="ignore"):
        p, q = (
            map.astype(np.float64) / map.sum(tuple(axes), keepdims=True, dtype=np.float64) for map in (first, second)
        )
        return (p * q).sum(tuple(axes)) / (((p + q) / 2) ** 2).sum(tuple(axes))


def scaled(maps: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Scale maps from their smallest value to their largest: to 0 and 1; a constant map becomes NaN.

    Attention IoU is published of maps that are scaled so (Serianni et al. 2025, arXiv:2503.19846).

    Parameters
    ----------
    maps
        The maps.
    axes
        Axes over the positions, counted from the end.

    Examples
    --------
    >>> scaled(np.array([[1.0, 2.0, 5.0], [3.0, 3.0, 3.0]]), (-1,)).tolist()
    [[0.0, 0.25, 1.0], [nan, nan, nan]]
    """
    with np.errstate(all="ignore"):
        least, most = (edge(maps, axis=tuple(axes), keepdims=True).astype(np.float64) for edge in (np.min, np.max))
        return (maps - least) / (most - least)


def resized(maps: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Resize maps by linear interpolation between pixel centers, constant beyond the outermost ones.

    Parameters
    ----------
    maps
        The maps; their last axes are over positions.
    shape
        Sizes of these axes.

    Examples
    --------
    >>> resized(np.array([0.0, 4.0]), (4,)).tolist()
    [0.0, 1.0, 3.0, 4.0]
    """
    for axis, size in zip(range(-len(shape), 0), shape, strict=True):
        length = maps.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
        low = np.minimum(at.astype(np.int64), max(length - 2, 0))
        share = (at - low).reshape(-1, *(1,) * (-axis - 1))
        before, after = maps.take(low, axis), maps.take(np.minimum(low + 1, length - 1), axis)
        maps = before + share * (after - before)
    return maps
