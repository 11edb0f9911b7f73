"""Fewer points than pixels: what is drawn of series longer than the axes are wide."""

import numpy as np

COLUMNS = 700
"""Columns that the axes, and the series, are divided into: about the pixels of a figure on a page."""


def thinned_line(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of a line that show: the lowest and the highest, the first and the last of each column.

    Parameters
    ----------
    steps
        Rising, (step).
    values
        (step); NaN where the line has a gap.
    """
    edges = _edges(steps)
    if edges is None:
        return steps, values
    low, high = np.where(np.isnan(values), [[np.inf], [-np.inf]], values)
    columns = zip(edges[:-1], edges[1:], strict=True)
    points = [(lo, lo + low[lo:hi].argmin(), lo + high[lo:hi].argmax(), hi - 1) for lo, hi in columns]
    kept = np.unique(points)
    return steps[kept], values[kept]


def thinned_band(steps: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the steps and edges of a band, those that lie farthest out in each column at its first and last step.

    Parameters
    ----------
    steps
        Rising, (step).
    low, high
        Edges, (step); NaN where the band has a gap.
    """
    edges = _edges(steps)
    if edges is None:
        return steps, low, high
    starts = edges[:-1]
    at = np.stack([steps[starts], steps[edges[1:] - 1]], 1).ravel()
    lowest, highest = np.fmin.reduceat(low, starts), np.fmax.reduceat(high, starts)
    return at, np.repeat(lowest, 2), np.repeat(highest, 2)


def _edges(steps: np.ndarray) -> np.ndarray | None:
    """Return the position at which each column with steps begins, and their number; None if all steps can be drawn."""
    if len(steps) <= 4 * COLUMNS:
        return None
    along_axis = (steps - steps[0]) * (COLUMNS / max(steps[-1] - steps[0], 1))
    along_series = np.arange(len(steps)) * (COLUMNS / len(steps))  # fine where a logarithmic axis is
    columns = sum(np.minimum(along.astype(np.int64), COLUMNS - 1) for along in (along_axis, along_series))
    return np.append(np.unique(columns, return_index=True)[1], len(steps))
