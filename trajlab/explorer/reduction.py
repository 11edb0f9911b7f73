"""Reduction of long series to what a screen can show."""

import numpy as np

MEAN, LARGEST, SMALLEST = "mean", "maximum", "minimum"
WAYS = (MEAN, LARGEST, SMALLEST)
"""What a column of a heat map shows of several steps."""

COLUMNS = 480
"""Columns of a heat map at most."""

POINTS = 600
"""Points of a line at most are twice as many: the extremes of each of these intervals."""


def columns(values: np.ndarray, x: np.ndarray, low: float, high: float, *, way: str = MEAN) -> np.ndarray:
    """Sample rows on a regular grid of columns from `low` to `high`.

    Where steps are denser than columns, a column shows their mean, maximum or minimum, without NaN. Elsewhere it shows
    the step that it is nearest to.

    Parameters
    ----------
    values
        Rows, (row, step).
    x
        Positions of the steps, rising, (step).
    low, high
        Range to show.
    way
        One of `WAYS`.

    Returns
    -------
    The columns, (row, column).

    Examples
    --------
    >>> columns(np.array([[1.0, 2.0]]), np.array([0.0, 2.0]), -1.0, 3.0)[0, [0, -1]]
    array([1., 2.])
    """
    count = COLUMNS
    edges = np.linspace(low, high, count + 1)
    centers = (edges[1:] + edges[:-1]) / 2
    nearest = np.searchsorted((x[1:] + x[:-1]) / 2, centers)
    image = values[:, nearest].astype(np.float64)
    first = np.searchsorted(x, edges[:-1])
    after = np.searchsorted(x, edges[1:])
    crowded = np.flatnonzero(after - first > 1)
    if len(crowded):
        image[:, crowded] = _by_interval(values, first[crowded], after[crowded], way)
    return image


def _by_interval(values: np.ndarray, first: np.ndarray, after: np.ndarray, way: str) -> np.ndarray:
    """Reduce rows, (row, step), within intervals of steps that do not overlap, to (row, interval)."""
    bounds = np.stack([first, after], axis=1).ravel()
    bounds = bounds[:-1] if bounds[-1] == values.shape[1] else bounds
    if way != MEAN:
        return (np.fmax if way == LARGEST else np.fmin).reduceat(values, bounds, axis=1)[:, ::2]
    is_number = ~np.isnan(values)
    count = np.add.reduceat(is_number, bounds, axis=1, dtype=np.int64)[:, ::2]
    total = np.add.reduceat(np.where(is_number, values, 0.0), bounds, axis=1, dtype=np.float64)[:, ::2]
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def summary(values: np.ndarray, way: str) -> np.ndarray:
    """Reduce rows, (…, member), to their mean, maximum or minimum without NaN; NaN where all values are NaN.

    Inf enters a mean only where no value is finite. A bias that starts at 0 moves infinitely far relative to its start,
    and would hide all other parameters of its module.

    Examples
    --------
    >>> summary(np.array([[1.0, 3.0, np.inf], [np.nan, np.nan, np.inf]]), MEAN)
    array([ 2., inf])
    """
    largest = np.fmax.reduce(values, axis=-1)
    if way == LARGEST:
        return largest
    if way == SMALLEST:
        return np.fmin.reduce(values, axis=-1)
    is_finite = np.isfinite(values)
    count = is_finite.sum(-1)
    total = np.where(is_finite, values, 0.0).sum(-1)
    return np.divide(total, count, out=largest.astype(np.float64), where=count > 0)


def envelope(x: np.ndarray, y: np.ndarray, *, intervals: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Thin out a line so that it looks the same: the least and the largest value of each interval stay, in order.

    An interval of NaN keeps one.

    Parameters
    ----------
    x, y
        Points of the line, (point); a NaN of y is a gap.
    intervals
        Number of intervals with as many points each.

    Examples
    --------
    >>> envelope(np.arange(6), np.array([0.0, 9.0, 1.0, 1.0, -5.0, 2.0]), intervals=1)
    (array([1, 4]), array([ 9., -5.]))
    """
    if len(x) <= 2 * intervals:
        return x, y
    width = -(-len(x) // intervals)
    padded = np.full(-(-len(x) // width) * width, np.nan)
    padded[: len(y)] = y
    parts = padded.reshape(-1, width)
    least = np.where(np.isnan(parts), np.inf, parts).argmin(1)
    largest = np.where(np.isnan(parts), -np.inf, parts).argmax(1)
    starts = np.arange(len(parts)) * width
    kept = np.unique(np.concatenate([starts + least, starts + largest]))
    return x[kept], y[kept]
