"""What is known of values that come in parts: moments, fixed bins, and means along an axis."""

import math

import numpy as np

from trajlab import sizes
from trajlab.scan.block import computable
from trajlab.scan.jit import inner, jit
from trajlab.scan.kernels.float_bins import KEYS, count
from trajlab.scan.kernels.moments import moments

TABLES = 4
"""Tables that values are counted in by turns: equal ones that follow each other, as zeros do, would wait for each
other in a single table."""


@inner
def _count_by_turns(w, tables):
    """Add entries to their bins, spread over tables, (`TABLES`, KEYS) uint32."""
    if w.itemsize == 8:
        count(w, tables[0])
        return
    halves = w.view(np.uint16)
    quarter = w.size // TABLES
    for i in range(quarter):
        tables[0, halves[8 * i + 1]] += np.uint32(1)
        tables[1, halves[8 * i + 3]] += np.uint32(1)
        tables[2, halves[8 * i + 5]] += np.uint32(1)
        tables[3, halves[8 * i + 7]] += np.uint32(1)
    for i in range(TABLES * quarter, w.size):
        tables[0, halves[2 * i + 1]] += np.uint32(1)


@jit
def _tally(values, rows, like_bits, shift, magnitude, tables, out):
    for lo in range(0, values.size, sizes.TILE_ENTRIES):
        hi = min(lo + sizes.TILE_ENTRIES, values.size)
        moments(rows, lo, hi, values[:0], like_bits, shift, magnitude, out)
        if tables.size:
            _count_by_turns(values[lo:hi], tables)


def tally(values: np.ndarray, tables: np.ndarray, out: np.ndarray) -> None:
    """Add values to their moments and, if there are tables, to the fixed bins.

    Parameters
    ----------
    values
        The values, of any shape.
    tables
        Entries by leading bits, (`TABLES`, KEYS) uint32; of no entries if they are not to be counted.
    out
        `MOMENTS` of all values so far, (1, `MOMENTS`).
    """
    flat = computable(values.reshape(-1))
    integer = np.int32 if flat.itemsize == 4 else np.int64
    sign, magnitude = integer(np.iinfo(integer).bits - 1), integer(np.iinfo(integer).max)
    address = np.array([flat.ctypes.data], np.uint64)
    _tally(flat, address, np.empty(0, integer), sign, magnitude, tables.reshape(-1, KEYS), out)


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
