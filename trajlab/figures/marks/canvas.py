"""Axes to draw on, and their height."""

from matplotlib.axes import Axes


def canvas(ax: Axes | None, *, height: float = 4.0, width: float = 7.2) -> Axes:
    """Return the axes to draw on: those given, or those of a new figure."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def tall(rows: int, *, least: float = 1.6, most: float = 8.0) -> float:
    """Return the height in inches of axes with n named rows."""
    return min(max(0.18 * rows + 0.6, least), most)
