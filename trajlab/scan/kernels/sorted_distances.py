"""Exact quantiles, histograms and distances of sorted rows; both zeros are one value."""

import numpy as np

from trajlab.scan.jit import inner, jit
from trajlab.scan.kernels.bars import bars_of_sorted
from trajlab.scan.kernels.binned_distances import compared, js, shift_by_chance
from trajlab.scan.kernels.chance import GRID
from trajlab.scan.kernels.histogram import KEYS, occupied_by_sorted
from trajlab.scan.kernels.stability_index import BINS, no_deals, psi_of_deals, psi_of_sorted

_PARTS = 128
"""Parts that a sorted row is cut into where its whole spread is to be known, not single entries."""


@inner
def _wasserstein(a, b):
    """Wasserstein-1 distance of two sorted samples: the area between their distribution functions."""
    n = a.size
    m = b.size
    area = 0.0
    if n == m:
        for i in range(n):
            area += abs(np.float64(a[i]) - np.float64(b[i]))
        return area / n
    i = 0
    j = 0
    x = min(a[0], b[0])
    while i < n or j < m:
        y = a[i] if j == m or (i < n and a[i] <= b[j]) else b[j]
        area += abs(i / n - j / m) * (np.float64(y) - np.float64(x))
        i += i < n and a[i] == y
        j += j < m and b[j] == y
        x = y
    return area


@inner
def _gap(a, b, i, j, i_end, j_end):
    """Largest |i·m - j·n| while two sorted samples of n and m entries are merged, from i and j on."""
    furthest = 0
    while i < i_end and j < j_end:
        x = min(a[i], b[j])
        while i < i_end and a[i] == x:
            i += 1
        while j < j_end and b[j] == x:
            j += 1
        furthest = max(furthest, abs(i * b.size - j * a.size))
    return furthest


@inner
def _ks(a, b, a_keys, a_upto, b_keys, b_upto):
    """Kolmogorov-Smirnov distance of two sorted samples: the largest gap between their distribution functions.

    The gap at the ends of the fixed bins bounds it within them: few bins have to be looked into.
    """
    n = a.size
    m = b.size
    furthest = 0
    i = 0
    j = 0
    while a_keys[i] < KEYS or b_keys[j] < KEYS:
        key = min(a_keys[i], b_keys[j])
        first_a, first_b = a_upto[i], b_upto[j]
        i += a_keys[i] == key
        j += b_keys[j] == key
        last_a, last_b = a_upto[i], b_upto[j]
        furthest = max(furthest, abs(last_a * m - last_b * n))
        if max(last_a * m - first_b * n, last_b * n - first_a * m) > furthest and first_a < last_a and first_b < last_b:
            furthest = max(furthest, _gap(a, b, first_a, first_b, last_a, last_b))
    return furthest / (n * m)


@inner
def _summarized(values):
    """Return a sorted row as `Bins` of up to 1/128 of the entries each, and of single ones at both ends."""
    n = values.size
    most = max(1, n // _PARTS)
    low = np.empty(min(n, 4 * _PARTS))
    high = np.empty(low.size)
    upto = np.zeros(low.size + 1, np.int64)
    m = 0
    while upto[m] < n:
        first = upto[m]
        last = first + min(most, max(1, first // 16), max(1, (n - first) // 17))
        low[m] = values[first]
        high[m] = values[last - 1]
        m += 1
        upto[m] = last
    return low[:m], high[:m], upto[: m + 1]


@inner
def _quantile(values, q):
    if values.size == 0:
        return np.nan
    position = q * (values.size - 1)
    low = min(int(position), values.size - 1)
    high = min(low + 1, values.size - 1)
    a = np.float64(values[low])
    return a + (position - low) * (np.float64(values[high]) - a)


@inner
def _trimmed(values):
    """Finite part of a sorted row: -Inf stands in front, Inf and NaN at the end."""
    first = 0
    last = values.size
    while first < last and not np.isfinite(values[first]):
        first += 1
    while last > first and not np.isfinite(values[last - 1]):
        last -= 1
    return values[first:last]


@inner
def _shift(row, other, row_bars, other_bars, blocks, out):
    """Write the distances of two rows, (4), and return whether both have entries."""
    a, a_keys, a_upto = row
    b, b_keys, b_upto = other
    if a.size == 0 or b.size == 0:
        return False
    out[0] = _wasserstein(a, b)
    out[1] = _ks(a, b, a_keys, a_upto, b_keys, b_upto)
    out[2] = js(row_bars, other_bars)
    out[3] = psi_of_sorted(a, b, blocks)
    return True


@jit
def describe_sorted(rows, previous, reference, quantiles, edges, paths, out):
    """Do what `describe_bins` does, exactly, for sorted rows, (step, entry).

    Parameters
    ----------
    rows
        The rows, each sorted.
    previous, reference
        The row before the first, sorted, of no entries if there is none; and the reference.
    quantiles
        Which quantiles, (quantile).
    edges
        Edges of the bars of the histogram, (bar + 1).
    paths
        `bridges()`.
    out
        Gets the columns of each step, (step, column).
    """
    most = max(rows.shape[1], previous.size, reference.size) + 1
    keys = np.empty((3, most), np.int32)
    upto = np.empty((3, most), np.int64)
    other_bars = np.empty((2, edges.size - 1))
    seen = np.empty(GRID + 1, np.bool_)
    blocks = np.empty((BINS, 2))
    deals = no_deals()
    values = _trimmed(reference)
    m = occupied_by_sorted(values, keys[2], upto[2])
    against = values, keys[2, : m + 1], upto[2, : m + 1]
    reference_parts = _summarized(against[0])
    values = _trimmed(previous)
    m = occupied_by_sorted(values, keys[1], upto[1])
    before = values, keys[1, : m + 1], upto[1, : m + 1]
    bars_of_sorted(against[0], edges, other_bars[0])
    bars_of_sorted(before[0], edges, other_bars[1])
    before_bars = other_bars[1]
    for s in range(rows.shape[0]):
        values = _trimmed(rows[s])
        m = occupied_by_sorted(values, keys[s % 2], upto[s % 2])
        row = values, keys[s % 2, : m + 1], upto[s % 2, : m + 1]
        for k in range(quantiles.size):
            out[s, k] = _quantile(row[0], quantiles[k])
        at = quantiles.size
        row_bars = out[s, at : at + edges.size - 1]
        bars_of_sorted(row[0], edges, row_bars)
        at += edges.size - 1
        out[s, at:] = np.nan
        _shift(row, before, row_bars, before_bars, blocks, out[s, at + 4 : at + 8])
        if _shift(row, against, row_bars, other_bars[0], blocks, out[s, at : at + 4]):
            by_chance = out[s, at + 8 : at + 12]
            if by_chance.size:
                n, m = row[0].size, against[0].size
                _, _, scatter, jumps = compared(_summarized(row[0]), reference_parts, seen, True)
                shift_by_chance(n, m, row_bars, other_bars[0], blocks, paths, seen, scatter, jumps, by_chance)
                dealt = psi_of_deals(row[0], against[0], deals)
                by_chance[3] = by_chance[3] if np.isnan(dealt) else dealt
        before = row
        before_bars = row_bars
