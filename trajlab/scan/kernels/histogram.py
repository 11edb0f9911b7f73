"""Counts of floats in fixed bins, of weights, gradients and activations alike.

Every float falls into one of 65,536 bins, named by the leading 16 bits of its float32 (sign, exponent, 7 bits of
mantissa). Such bins are at most 1/128 of their values wide, need no range known beforehand, and add up exactly over
tiles and batches. A bin's key is its rank in the order of the floats. Values smaller than 2^-133, of either sign,
count as 0. Bins that hold many entries are split further, see `split_bins`.
"""

import math

import numpy as np

from trajlab.scan.jit import inner, jit
from trajlab.scan.tiles import extremes, float_of, tile

LARGEST = float(np.finfo(np.float32).max)

KEYS = 1 << 16
"""Number of fixed bins."""

ZERO = KEYS // 2
"""Key of the bin of the zeros."""

OUTERMOST = KEYS // 2 - 0x7F80, KEYS // 2 + 0x7F7F
"""Keys of the bins of the least and the greatest float32; float64 beyond these are counted there."""

_EXPONENTS = 256
_MANTISSAS = 128


def _ends() -> tuple[np.ndarray, np.ndarray]:
    keys = np.arange(KEYS, dtype=np.uint32)
    bits = np.where(keys >= ZERO, keys ^ 0x8000, keys ^ 0xFFFF) << 16
    with np.errstate(invalid="ignore"):
        small, large = (part.astype(np.uint32).view(np.float32).astype(np.float64) for part in (bits, bits | 0xFFFF))
    negative = keys < ZERO
    low, high = np.where(negative, large, small), np.where(negative, small, large)
    low[ZERO - 1 : ZERO + 1] = high[ZERO - 1 : ZERO + 1] = 0.0
    return low, high


LOW, HIGH = _ends()
"""Least and greatest float32 in each bin by key, (KEYS); 0 for the bin of the zeros, NaN for those of NaN and Inf."""


@inner
def to_single(value):
    """Round a float64 to float32; finite values beyond its range to its largest ones."""
    if np.isfinite(value):
        return np.float32(min(max(value, -LARGEST), LARGEST))
    return np.float32(value)


@inner
def leading_bits(w):
    """Return the 16-bit halves of the float32 of each entry; those at odd positions lead."""
    if w.itemsize == 8:
        single = np.empty(w.size, np.float32)
        for i in range(w.size):
            single[i] = to_single(w[i])
        return single.view(np.uint16)
    return w.view(np.uint16)


@inner
def count(w, tables):
    """Add entries to their bins by leading bits, by turns in tables, (table, KEYS) uint32."""
    halves = leading_bits(w)
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


@inner
def count_halves(halves, counts):
    """Count bfloat16 entries, (entry) uint16 bits, in their bins, (KEYS)."""
    for i in range(halves.size):
        counts[halves[i]] += np.uint32(1)


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


@inner
def occupied_by_sorted(values, keys, upto):
    """List the bins that hold the entries of a sorted, finite row.

    Parameters
    ----------
    values
        The row.
    keys
        Gets the keys, ascending, and `KEYS` at the end, (bin + 1).
    upto
        Gets 0 and the entries up to each of the bins, (bin + 1).

    Returns
    -------
    int
        Number of bins that hold entries.
    """
    halves = leading_bits(values)
    m = 0
    last = -1
    for i in range(values.size):
        half = np.int64(halves[2 * i + 1])
        key = ZERO + half
        if half >= ZERO:
            key = KEYS - 1 - half if half > ZERO else ZERO
        new = key != last  # no branch, which could not be predicted
        m += new
        keys[m - 1] = key
        upto[m - 1] = i if new else upto[m - 1]
        last = key
    keys[m] = KEYS
    upto[m] = values.size
    return m


@jit
def counts_of(w):
    """Count the entries of a row by leading bits, (KEYS)."""
    tables = np.zeros((1, KEYS), np.uint32)
    count(w, tables)
    return tables[0]


@inner
def _finite_range(w):
    low = np.inf
    high = -np.inf
    for i in range(w.size):
        x = np.float64(w[i])
        low = min(low, x if math.isfinite(x) else np.inf)
        high = max(high, x if math.isfinite(x) else -np.inf)
    return low, high


@inner
def widen_range(w, bits, float_bits, ends):
    """Widen a range, (2), to the finite entries of one tile of a row; without any entry it is Inf and -Inf.

    Parameters
    ----------
    w, bits
        The tile, and its bits as signed integers of the stored size.
    float_bits
        Empty array of the signed integers of the size of the floats.
    ends
        The range.
    """
    least, greatest = extremes(bits)
    low = float_of(least, bits, w, float_bits)
    high = float_of(greatest, bits, w, float_bits)
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = _finite_range(w)
    ends[0] = min(ends[0], low)
    ends[1] = max(ends[1], high)
