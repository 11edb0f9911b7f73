"""Sorted rows: exact quantiles, histograms and distances."""

import numpy as np

from trajlab.kernels.bins import js, key_of, psi_term, to_single
from trajlab.kernels.tiles import inner, jit


@inner
def _sorted_wasserstein(a, b):
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
def _sorted_ks(a, b):
    """Kolmogorov-Smirnov distance of two sorted samples: the largest gap between their distribution functions."""
    n = a.size
    m = b.size
    furthest = 0
    i = 0
    j = 0
    while i < n and j < m:
        x = a[i]
        y = b[j]
        i += x <= y
        j += y <= x
        least = min(x, y)
        settled = (i == n or a[i] > least) & (j == m or b[j] > least)
        furthest = max(furthest, abs(i * m - j * n) * settled)
    return furthest / (n * m)


@inner
def _sorted_bars(values, cuts, out):
    """Write the histogram of a sorted row, (bin)."""
    single = np.empty(values.size, np.float32)
    for i in range(values.size):
        single[i] = to_single(np.float64(values[i]))
    bits = single.view(np.int32)
    counted = 0
    for k in range(cuts.size - 1):
        low = counted
        high = bits.size
        while low < high:
            middle = (low + high) // 2
            if key_of(bits[middle]) < cuts[k + 1]:
                low = middle + 1
            else:
                high = middle
        out[k] = low - counted
        counted = low


@inner
def _sorted_psi(a, b):
    """Compute the population stability index of `a` over the deciles of `b`."""
    psi = 0.0
    i = 0
    j = 0
    for decile in range(1, 11):
        p = i
        q = j
        edge = b[(decile * b.size + 9) // 10 - 1]
        while j < b.size and (b[j] <= edge or decile == 10):
            j += 1
        while i < a.size and (a[i] <= edge or decile == 10):
            i += 1
        psi += psi_term((i - p) / a.size, (j - q) / b.size)
    return psi


@inner
def _sorted_quantile(values, q):
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


@jit
def describe_sorted(rows, others, quantiles, cuts, out):
    """Do what `describe_binned` does, exactly, for sorted rows, (step, entry), and sorted others, (other, entry)."""
    reference = _trimmed(others[1])
    before = _trimmed(others[0])
    if np.isnan(others[0]).all():
        before = before[:0]
    reference_bars = np.empty(cuts.size - 1)
    before_bars = np.empty(cuts.size - 1)
    _sorted_bars(reference, cuts, reference_bars)
    _sorted_bars(before, cuts, before_bars)
    for s in range(rows.shape[0]):
        values = _trimmed(rows[s])
        for k in range(quantiles.size):
            out[s, k] = _sorted_quantile(values, quantiles[k])
        at = quantiles.size
        bars = out[s, at : at + cuts.size - 1]
        _sorted_bars(values, cuts, bars)
        at += cuts.size - 1
        out[s, at:] = np.nan
        if values.size and reference.size:
            out[s, at] = _sorted_wasserstein(values, reference)
            out[s, at + 1] = _sorted_ks(values, reference)
            out[s, at + 2] = js(bars, reference_bars)
            out[s, at + 3] = _sorted_psi(values, reference)
        if values.size and before.size:
            out[s, at + 4] = _sorted_wasserstein(values, before)
            out[s, at + 5] = _sorted_ks(values, before)
            out[s, at + 6] = js(bars, before_bars)
            out[s, at + 7] = _sorted_psi(values, before)
        before = values
        before_bars = bars
