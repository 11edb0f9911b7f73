"""Sums and counts of the finite values at each position along one axis."""

import math

import numpy as np

from trajlab.scan.jit import inner, jit
from trajlab.scan.track import computable


@inner
def _sum(row):
    total = 0.0
    for i in range(row.size):
        total += np.float64(row[i])
    return total


@inner
def _add_finite(h, out):
    for o in range(h.shape[0]):
        for k in range(h.shape[1]):
            row = h[o, k]
            for i in range(row.size):
                if math.isfinite(row[i]):
                    out[k, 0] += np.float64(row[i])
                    out[k, 1] += 1.0


@jit
def _add_along(h, out):
    outer, labels, size = h.shape
    totals = np.zeros(labels)
    for o in range(outer):
        if size == 1:
            row = h[o, :, 0]
            for k in range(labels):
                totals[k] += np.float64(row[k])
        else:
            for k in range(labels):
                totals[k] += _sum(h[o, k])
    if math.isfinite(_sum(totals)):
        for k in range(labels):
            out[k, 0] += totals[k]
            out[k, 1] += outer * size
    else:
        _add_finite(h, out)


def add_along(values: np.ndarray, axis: int, out: np.ndarray) -> None:
    """Add the sum and the number of the finite values at each place along an axis.

    Parameters
    ----------
    values
        The values.
    axis
        The axis.
    out
        Sums and numbers so far, (place, 2).

    Examples
    --------
    >>> sums = np.zeros((2, 2))
    >>> add_along(np.array([[1.0, 2.0], [3.0, np.nan]]), 1, sums)
    >>> sums
    array([[4., 2.],
           [2., 1.]])
    """
    shape = values.shape
    outer, inside = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
    _add_along(computable(values.reshape(outer, shape[axis], inside)), out)
