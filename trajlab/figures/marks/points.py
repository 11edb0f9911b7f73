"""Points in the plane, colored by the label or value of each."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D

from trajlab.figures.marks.colors import CLASSES, SEQUENTIAL

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
"""Markers of classes; as neither these nor colors tell ten classes apart for everybody, a class has its own of both."""

MARGIN = 0.06
"""Room about the points, in shares of their extent."""


class Look(NamedTuple):
    """What points look like.

    Attributes
    ----------
    classes
        Labels with a color and a marker of their own; empty where there are too many, or values.
    norm
        Range of values; None where there are classes, or nothing is known.
    """

    classes: np.ndarray
    norm: Normalize | None


def look_of(targets: np.ndarray | None) -> Look:
    """Choose what points look like from the targets of all of them."""
    if targets is None or not np.isfinite(targets).any():
        return Look(np.empty(0), None)
    finite = targets[np.isfinite(targets)]
    labels = np.unique(finite[finite >= 0])
    if targets.dtype.kind in "iub" and len(labels) <= len(CLASSES):
        return Look(labels, None)
    return Look(np.empty(0), Normalize(float(finite.min()), float(finite.max())))


def points(coordinates: np.ndarray, targets: np.ndarray | None, look: Look, ax: Axes, *, size: float = 8.0) -> None:
    """Draw points in a square without ticks, as their coordinates mean nothing but how they lie to each other.

    Parameters
    ----------
    coordinates
        Coordinates, (sample, 2); points that are not finite are left out.
    targets
        Label or value of each, (sample).
    look
        What they look like.
    ax
        Where to draw.
    size
        Area of a point, in square points.
    """
    style: dict[str, Any] = {"s": size, "linewidths": 0, "rasterized": True}
    x, y = coordinates.T
    if targets is None or not (len(look.classes) or look.norm):
        ax.scatter(x, y, color=CLASSES[0], **style)
    elif look.norm:
        ax.scatter(x, y, c=targets, cmap=SEQUENTIAL, norm=look.norm, **style)
    else:
        others = ~np.isin(targets, look.classes)
        ax.scatter(x[others], y[others], color=CLASSES[7], marker=".", **style)
        for label, color, marker in zip(look.classes, CLASSES, MARKERS, strict=False):
            members = targets == label
            ax.scatter(x[members], y[members], color=color, marker=marker, **style)
    frame(ax, coordinates)


def frame(ax: Axes, coordinates: np.ndarray) -> None:
    """Set the limits of axes to the extent of points, equal along both, without ticks."""
    finite = coordinates[np.isfinite(coordinates).all(-1)]
    if len(finite):
        middle = (finite.max(0) + finite.min(0)) / 2
        reach = (0.5 + MARGIN) * float(np.ptp(finite, axis=0).max()) or 1.0
        ax.set_xlim(middle[0] - reach, middle[0] + reach)
        ax.set_ylim(middle[1] - reach, middle[1] + reach)
    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks([])


def legend(look: Look) -> list[Line2D]:
    """Explain the colors and markers of classes."""
    style: dict[str, Any] = {"linestyle": "none", "markersize": 4.5, "markeredgewidth": 0}
    return [
        Line2D([], [], color=color, marker=marker, label=f"class {label:g}", **style)
        for label, color, marker in zip(look.classes, CLASSES, MARKERS, strict=False)
    ]


def value_bar(look: Look, axes: list[Axes]) -> None:
    """Add the color bar of values beside axes; nothing where there are none."""
    if look.norm:
        from matplotlib.cm import ScalarMappable

        mappable = ScalarMappable(look.norm, SEQUENTIAL)
        bar = axes[0].figure.colorbar(mappable, ax=axes, label="target", fraction=0.04, pad=0.015)
        bar.outline.set_visible(False)
