"""Geometry of the plane: the box that is shown, a grid over it, and where lines meet its edges."""

import numpy as np
import xarray as xr

MARGIN = 0.1
"""Margin of the box around the probe, as a share of the probe's extent."""


def plane(*points: xr.DataArray, box: tuple[float, ...], resolution: int) -> xr.Dataset:
    """Return the limits of the box, (axis, limit), and the center of each cell of a grid over it, row by row.

    Parameters
    ----------
    points
        Points of the probe, (sample, axis), if there are any; they define the box where none is given.
    box
        The limits, flat; empty for the extent of the points, or −1 to 1 without points.
    resolution
        Number of cells along each axis.
    """
    limits = np.array(box or (-1.0, 1.0, -1.0, 1.0)).reshape(2, 2)
    if points and not box:
        values = np.where(np.isfinite(points[0].values), points[0].values, np.nan).astype(np.float64)
        low, high = (np.nan_to_num(limit) for limit in (np.nanmin(values, axis=0), np.nanmax(values, axis=0)))
        margin = np.where(high > low, MARGIN * (high - low), 1.0)
        limits = np.stack([low - margin, high + margin], axis=1)
    share = (np.arange(resolution) + 0.5) / resolution
    x, y = limits[:, :1] + share * (limits[:, 1:] - limits[:, :1])
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
    return xr.Dataset({"box": (("axis", "limit"), limits), "grid": (("sample", "axis"), grid)})


def ends(normal: np.ndarray, offset: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Clip lines to a box (Liang and Barsky 1984), and return the points at which each enters and leaves it.

    Parameters
    ----------
    normal, offset
        The lines, (…, axis) and (…).
    box
        The limits, (axis, limit).

    Returns
    -------
    The points, (…, end, axis); NaN for lines that miss the box or have no direction.
    """
    length = np.sqrt((normal**2).sum(-1, keepdims=True))
    unit = normal / length
    foot = -offset[..., None] / length * unit
    along = np.stack([-unit[..., 1], unit[..., 0]], axis=-1)
    crossings = (box - foot[..., None]) / along[..., None]
    within = (box[:, 0] <= foot) & (foot <= box[:, 1])
    enter = np.where(along == 0, np.where(within, -np.inf, np.nan), crossings.min(-1)).max(-1)
    leave = np.where(along == 0, np.where(within, np.inf, np.nan), crossings.max(-1)).min(-1)
    clipped = np.where(enter < leave, np.stack([enter, leave]), np.nan)
    return foot[..., None, :] + np.moveaxis(clipped, 0, -1)[..., None] * along[..., None, :]
