"""Bars of a histogram over the range of a tensor, of rows that were sorted or counted in bins."""

import numpy as np

from trajlab.scan.jit import jit
from trajlab.scan.kernels.histogram import LARGEST, LOW

_EDGES = np.append(LOW[np.isfinite(LOW)], LARGEST)
"""Ends of the fixed bins, at which counts are exact."""


def bar_edges(low: float, high: float, bins: int, *, sorted_rows: bool) -> np.ndarray:
    """Return the edges of the bars of a histogram over [low, high], (bins + 1).

    The outermost bars are open: they take all that lies beyond. Of rows that are not sorted, edges are moved to the
    nearest end of a fixed bin, if one is nearer than a quarter of a bar.
    """
    if not (np.isfinite(low) and np.isfinite(high)):
        low, high = -0.5, 0.5
    if low == high:
        margin = max(0.5, abs(low) / 1024)
        low, high = low - margin, high + margin
    edges = 2.0 * np.linspace(low / 2, high / 2, bins + 1)
    if not sorted_rows:
        right = np.clip(np.searchsorted(_EDGES, edges), 1, len(_EDGES) - 1)
        left = right - 1
        nearest = _EDGES[np.where(edges - _EDGES[left] < _EDGES[right] - edges, left, right)]
        near = np.abs(nearest - edges) <= (high / 2 - low / 2) / bins / 2
        edges = np.where(near, nearest, edges)
    edges[0], edges[-1] = -np.inf, np.inf
    return edges


@jit
def bars_of_bins(bins, edges, out):
    """Count the entries of a row that was counted in bins in each bar, (bar), and return whether this is exact.

    It is not where an edge lies within a bin: its entries are then taken to spread evenly over it.
    """
    low, high, upto = bins
    exact = True
    before = np.int64(0)
    for k in range(out.size):
        edge = edges[k + 1]
        i = low.size if k == out.size - 1 else np.searchsorted(low, edge)
        after = upto[i]
        if i > 0 and high[i - 1] >= edge:
            exact = False
            share = (0.5 * edge - 0.5 * low[i - 1]) / (0.5 * high[i - 1] - 0.5 * low[i - 1])
            after = upto[i - 1] + np.int64((upto[i] - upto[i - 1]) * share)
        out[k] = after - before
        before = after
    return exact


@jit
def bars_of_sorted(values, edges, out):
    """Count the entries of a sorted, finite row in each bar, (bar)."""
    before = 0
    for k in range(out.size):
        after = values.size if k == out.size - 1 else np.searchsorted(values, edges[k + 1])
        out[k] = after - before
        before = after


@jit
def add_to_bars(w, edges, out):
    """Add the finite entries of a row, or of a part of one, to the bars, (bar)."""
    inner = edges[1:-1]
    for i in range(w.size):
        x = np.float64(w[i])
        if np.isfinite(x):
            out[np.searchsorted(inner, x, "right")] += 1.0


@jit
def add_pairs_to_bars(w, r, w_bits, r_bits, edges, changed, unchanged):
    """Add the entries that are finite in a row and in a reference to the bars of changed or of unchanged entries.

    An entry is changed if its bits differ from the reference.

    Parameters
    ----------
    w, r
        The row and the reference, or the same part of both.
    w_bits, r_bits
        The same as integers of their size.
    edges
        Edges of the bars, (bar + 1).
    changed, unchanged
        Counts, (bar), added to.
    """
    inner = edges[1:-1]
    for i in range(w.size):
        x = np.float64(w[i])
        if np.isfinite(x) and np.isfinite(np.float64(r[i])):
            out = changed if w_bits[i] != r_bits[i] else unchanged
            out[np.searchsorted(inner, x, "right")] += 1.0
