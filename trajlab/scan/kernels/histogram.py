"""Histograms of floats over fixed bins, of weights, gradients and activations alike.

Every float falls into one of 65,536 bins, named by the leading 16 bits of its float32 (sign, exponent, 7 bits of
mantissa). Such bins are at most 1/128 of their values wide, need no range known beforehand, and add up exactly over
tiles and batches. A bin's key is its rank in the order of the floats. Values smaller than 2^-133, of either sign,
count as 0.
"""

import math
from typing import Any

import numpy as np

from trajlab.scan.block import Block
from trajlab.scan.jit import inner, jit
from trajlab.scan.tiles import tile

LARGEST = float(np.finfo(np.float32).max)

KEYS = 1 << 16
"""Number of fixed bins."""

TABLES = 4
"""Number of tables that the values of a layer are counted in by turns: in a single table equal values in a row, such as
zeros, would each wait for the one before."""

TABLE_LIMIT = 1 << 32
"""Number of values that a table of 32 bits can hold in one bin."""

Bins = tuple[np.ndarray, np.ndarray]
"""Bins that hold finite entries: their keys, ascending, then `KEYS`, (bin + 1); and 0, then the number of entries up to
the end of each bin, (bin + 1)."""

_EXPONENTS = 256
_MANTISSAS = 128


def _edges() -> np.ndarray:
    keys = np.arange(KEYS, dtype=np.uint32)
    bits = np.where(keys >= KEYS // 2, keys ^ 0x8000, keys ^ 0xFFFF) << 16
    negative = bits >= 0x80000000
    with np.errstate(invalid="ignore"):
        lower = np.where(negative, bits | 0xFFFF, bits).astype(np.uint32).view(np.float32).astype(np.float64)
    beyond = float(np.float64(2) ** 128)
    lower = np.where(np.isfinite(lower), lower, np.where(negative, -beyond, beyond))
    lower[KEYS // 2 : KEYS // 2 + 2] = 0.0  # both zeros, in a bin of no width
    return np.append(lower, beyond)


EDGES = _edges()
"""Lower edges of the bins by key, and the upper edge of the last, (KEYS + 1)."""


@inner
def _to_single(value):
    """Round a float64 to float32; finite values beyond its range to its largest ones."""
    if np.isfinite(value):
        return np.float32(min(max(value, -LARGEST), LARGEST))
    return np.float32(value)


@inner
def count(w, tables):
    """Add entries to their bins by leading bits, by turns in tables, (table, KEYS) uint32."""
    halves = w.view(np.uint16)
    if w.itemsize == 8:
        single = np.empty(w.size, np.float32)
        for i in range(w.size):
            single[i] = _to_single(w[i])
        halves = single.view(np.uint16)
    n = tables.shape[0]
    first = tables[0]
    second = tables[1 % n]
    third = tables[2 % n]
    fourth = tables[3 % n]
    quarter = w.size // 4
    for i in range(quarter):
        first[halves[8 * i + 1]] += np.uint32(1)
        second[halves[8 * i + 3]] += np.uint32(1)
        third[halves[8 * i + 5]] += np.uint32(1)
        fourth[halves[8 * i + 7]] += np.uint32(1)
    for i in range(4 * quarter, w.size):
        first[halves[2 * i + 1]] += np.uint32(1)


@jit
def count_rows(rows, lo, hi, like, tables):
    """Add the entries `lo` to `hi` of each row to its bins; each row has an equal number of `tables`, (table, KEYS)."""
    per_row = tables.shape[0] // rows.size
    for s in range(rows.size):
        count(tile(rows[s], lo, hi, like), tables[s * per_row : (s + 1) * per_row])


@inner
def occupied(counts, keys, upto):
    """List the bins that hold finite entries in the order of the floats, and empty all bins.

    Parameters
    ----------
    counts
        Entries by leading bits, (KEYS); zero afterwards.
    keys
        Gets the keys, ascending, and `KEYS` at the end, (KEYS + 1).
    upto
        Gets 0 and the entries up to each of the bins, (KEYS + 1).

    Returns
    -------
    int
        Number of bins that held entries.
    """
    m = 0
    total = 0
    upto[0] = 0
    counts[0] += counts[KEYS // 2]
    counts[KEYS // 2] = np.uint32(0)
    for part in range(2 * _EXPONENTS):
        negative = part < _EXPONENTS
        exponent = _EXPONENTS - 1 - part if negative else part - _EXPONENTS
        first = exponent * _MANTISSAS + (KEYS // 2 if negative else 0)
        of_exponent = counts[first : first + _MANTISSAS]
        held = np.uint32(0)
        for i in range(of_exponent.size):
            held |= of_exponent[i]
        if held == 0:
            continue
        for i in range(of_exponent.size if exponent < _EXPONENTS - 1 else 0):
            mantissa = _MANTISSAS - 1 - i if negative else i
            entries = of_exponent[mantissa]
            total += np.int64(entries)
            keys[m] = KEYS - 1 - first - mantissa if negative else KEYS // 2 + first + mantissa
            upto[m + 1] = total
            m += entries != 0
        of_exponent[:] = 0
    keys[m] = KEYS
    return m


@jit
def occupied_bins(counts):
    """Return the `Bins` that counts by leading bits, (KEYS), lie in; the counts are zero afterwards."""
    keys = np.empty(KEYS + 1, np.int32)
    upto = np.empty(KEYS + 1, np.int64)
    m = occupied(counts, keys, upto)
    return keys[: m + 1].copy(), upto[: m + 1].copy()


@jit
def bins_of(w):
    """Return the `Bins` that the finite entries of a row lie in."""
    counts = np.zeros((1, KEYS), np.uint32)
    count(w, counts)
    return occupied_bins(counts[0])


class Histogram:
    """Counts in fixed bins of any number of values, which come in parts."""

    def __init__(self) -> None:
        self._tables = np.zeros((TABLES, KEYS), np.uint32)
        self._in_tables = 0
        self._counts: Any = 0

    def add(self, block: Block) -> None:
        """Count the entries of a block of one row in memory."""
        if self._in_tables + block.size >= TABLE_LIMIT:
            self._empty_tables()
        self._in_tables += block.size
        count_rows(block.rows.addresses, 0, block.size, block.rows.like, self._tables)

    def finish(self) -> Bins:
        """Return the bins that hold finite values."""
        self._empty_tables()
        return occupied_bins(self._counts)

    def _empty_tables(self) -> None:
        self._counts = self._counts + self._tables.sum(0, dtype=np.int64)
        self._tables[:] = 0
        self._in_tables = 0


@jit
def finite_range(w):
    """Return the least and the greatest finite entry; Inf and -Inf if there is none."""
    low = np.inf
    high = -np.inf
    for i in range(w.size):
        x = np.float64(w[i])
        low = min(low, x if math.isfinite(x) else np.inf)
        high = max(high, x if math.isfinite(x) else -np.inf)
    return low, high


def histogram_cuts(low: float, high: float, bins: int) -> np.ndarray:
    """Return the fixed bins at which a histogram over about [low, high] is cut, (bins + 1).

    The edges are the ones of `EDGES` nearest to evenly spaced ones, so that counts are exact. The outermost bars
    are open: they take all that lies beyond.
    """
    if not (np.isfinite(low) and np.isfinite(high)):
        low, high = -0.5, 0.5
    low, high = max(low, -LARGEST), min(high, LARGEST)
    if low == high:
        low, high = low - 0.5, high + 0.5
    inner = np.linspace(low, high, bins + 1)[1:-1]
    right = np.searchsorted(EDGES, inner)
    nearest = right - (inner - EDGES[right - 1] < EDGES[right] - inner)
    return np.concatenate([[0], nearest, [KEYS]]).astype(np.int64)
