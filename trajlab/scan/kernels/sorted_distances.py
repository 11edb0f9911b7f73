"""Exact quantiles, histograms and distances of sorted rows; both zeros are one value."""

import numpy as np

from trajlab.scan.jit import inner, jit
from trajlab.scan.kernels.binned_distances import bars, js, psi_term, scatter
from trajlab.scan.kernels.histogram import KEYS, count, occupied


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
def _psi(a, b):
    """Compute the population stability index of `a` over the deciles of `b`."""
    psi = 0.0
    i = 0
    j = 0
    for decile in range(1, 11):
        p = i
        q = j
        edge = b[(decile * b.size + 9) // 10 - 1]
        i = a.size if decile == 10 else np.searchsorted(a, edge, "right")
        j = b.size if decile == 10 else np.searchsorted(b, edge, "right")
        psi += psi_term((i - p) / a.size, (j - q) / b.size)
    return psi


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
def _shift(row, other, row_bars, other_bars, out):
    a, a_keys, a_upto = row
    b, b_keys, b_upto = other
    if a.size and b.size:
        out[0] = _wasserstein(a, b)
        out[1] = _ks(a, b, a_keys, a_upto, b_keys, b_upto)
        out[2] = js(row_bars, other_bars)
        out[3] = _psi(a, b)


@jit
def describe_sorted(rows, previous, reference, quantiles, cuts, edges, out):
    """Do what `describe_binned` does, exactly, for sorted rows, (step, entry).

    Parameters
    ----------
    rows
        The rows, each sorted.
    previous, reference
        The row before the first, sorted, of no entries if there is none; and the reference.
    quantiles, cuts, edges, out
        As for `describe_binned`.
    """
    tables = np.zeros((1, KEYS), np.uint32)
    counts = tables[0]
    keys = np.empty((3, KEYS + 1), np.int32)
    upto = np.empty((3, KEYS + 1), np.int64)
    other_bars = np.empty((2, cuts.size - 1))
    count(reference, tables)
    m = occupied(counts, keys[2], upto[2])
    against = _trimmed(reference), keys[2, : m + 1], upto[2, : m + 1]
    count(previous, tables)
    m = occupied(counts, keys[1], upto[1])
    before = _trimmed(previous), keys[1, : m + 1], upto[1, : m + 1]
    bars(against[1], against[2], cuts, other_bars[0])
    bars(before[1], before[2], cuts, other_bars[1])
    before_bars = other_bars[1]
    for s in range(rows.shape[0]):
        count(rows[s], tables)
        m = occupied(counts, keys[s % 2], upto[s % 2])
        row = _trimmed(rows[s]), keys[s % 2, : m + 1], upto[s % 2, : m + 1]
        for k in range(quantiles.size):
            out[s, k] = _quantile(row[0], quantiles[k])
        at = quantiles.size
        row_bars = out[s, at : at + cuts.size - 1]
        bars(row[1], row[2], cuts, row_bars)
        at += cuts.size - 1
        out[s, at:] = np.nan
        _shift(row, against, row_bars, other_bars[0], out[s, at : at + 4])
        _shift(row, before, row_bars, before_bars, out[s, at + 4 : at + 8])
        out[s, at + 8] = against[2][-1]
        out[s, at + 9] = scatter(row[1:], against[1:], edges)
        before = row
        before_bars = row_bars
