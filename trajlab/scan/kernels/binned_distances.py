"""Quantiles and distances of rows that were counted in bins, over which entries are taken to spread evenly."""

import numpy as np

from trajlab.scan.jit import inner, jit
from trajlab.scan.kernels.chance import (
    GRID,
    LARGE_JUMP,
    divergence,
    expected_js,
    expected_ks,
    expected_wasserstein,
    gap_by_chance,
    skip_jump,
)
from trajlab.scan.kernels.stability_index import BINS, expected_psi, psi_of_bins


@inner
def js(a, b):
    """Jensen-Shannon distance, the square root of the divergence in base 2, of two histograms over the same bars."""
    n = a.sum()
    m = b.sum()
    total = 0.0
    for k in range(a.size):
        total += divergence(a[k] / n, b[k] / m)
    return np.sqrt(max(total, 0.0))


@inner
def _reached(upto, i, before, part, width):
    """Return the entries up to a part of the rest of a bin; `before` lie before its start."""
    if part == width:
        return np.float64(upto[i + 1])
    return before + (upto[i + 1] - before) * (part / width)


@inner
def compared(a, b, seen, by_chance):
    """Compare the distribution functions of two rows.

    Parameters
    ----------
    a, b
        `Bins` of the rows.
    seen
        Gets which times of the bridges their common distribution function takes, (GRID + 1).
    by_chance
        Whether to compute what comes by chance, which is 0 otherwise.

    Returns
    -------
    area, gap, scatter, jumps
        Wasserstein-1 distance, Kolmogorov-Smirnov distance, and ∫ sqrt(F(1 - F)) dx with F of both rows together, see
        `gap_by_chance`, and what `expected_ks` takes as jumps.
    """
    area, gap, scatter, jumps = _walked(a, b, seen, by_chance, False)
    if by_chance:
        seen[:] = True
        if jumps[0] > LARGE_JUMP:  # otherwise nobody looks at the times
            _walked(a, b, seen, True, True)
    return area, gap, scatter, jumps


@inner
def _walked(a, b, seen, by_chance, marks):
    """Return what `compared` does; mark the times that are not seen if asked to."""
    n = np.float64(a[2][-1])
    m = np.float64(b[2][-1])
    area = 0.0
    gap = 0.0
    scatter = 0.0
    i = 0
    j = 0
    a_low = a[0][0]
    b_low = b[0][0]
    n_before = 0.0
    m_before = 0.0
    before = 0.0
    spread = 0.0
    jump_from = 0.0
    largest = 0.0
    squares = 0.0
    large_from = 0.0
    end = min(a_low, b_low)
    a_high = a[1][0]
    b_high = b[1][0]
    while i < a[0].size or j < b[0].size:
        n_after = n_before
        m_after = m_before
        if a_low == b_low and a_high == b_high:
            start = a_low
            stop = a_high
            n_after = np.float64(a[2][i + 1])
            m_after = np.float64(b[2][j + 1])
        else:
            start = min(a_low, b_low)
            stop = min(a_high if a_low == start else a_low, b_high if b_low == start else b_low)
            if a_low == start:
                n_after = _reached(a[2], i, n_before, stop - start, a_high - start)
            if b_low == start:
                m_after = _reached(b[2], j, m_before, stop - start, b_high - start)
        after = (n_after * m - m_after * n) / (n * m)
        area += abs(before) * (start - end)
        width = stop - start
        if before * after >= 0.0:
            area += 0.5 * width * (abs(before) + abs(after))
        else:
            area += 0.5 * width * (before * before + after * after) / (abs(before) + abs(after))
        gap = max(gap, abs(after))
        if by_chance:
            share = (n_after + m_after) / (n + m)
            reached = gap_by_chance(n_after + m_after, n + m)
            scatter += spread * (start - end) + 0.5 * width * (spread + reached)
            spread = reached
            if start > end:
                jump_from = (n_before + m_before) / (n + m)
            if width > 0.0:
                jump_from = share
            else:
                squares += (share - jump_from) ** 2 - ((n_before + m_before) / (n + m) - jump_from) ** 2
                largest = max(largest, share - jump_from)
                if marks:
                    skip_jump(jump_from, share, seen)
                if share - jump_from > LARGE_JUMP:
                    large_from = jump_from if jump_from > 0.0 else share
        n_before = n_after
        m_before = m_after
        before = after
        end = stop
        if a_low == start:
            a_low = stop
            if a_high == stop:
                i += 1
                a_low = a[0][i] if i < a[0].size else np.inf
                a_high = a[1][i] if i < a[0].size else np.inf
        if b_low == start:
            b_low = stop
            if b_high == stop:
                j += 1
                b_low = b[0][j] if j < b[0].size else np.inf
                b_high = b[1][j] if j < b[0].size else np.inf
    return area, gap, scatter, (largest, squares, large_from)


@inner
def _order_statistic(bins, k):
    """Return the entry of rank k, from 0 on."""
    low, high, upto = bins
    i = np.searchsorted(upto[1:], k, "right")
    return low[i] + (high[i] - low[i]) * ((k - upto[i] + 0.5) / (upto[i + 1] - upto[i]))


@inner
def quantile_of_bins(bins, q):
    """Interpolate between two order statistics."""
    n = bins[2][-1]
    if n == 0:
        return np.nan
    position = q * (n - 1)
    k = min(np.int64(position), n - 1)
    value = _order_statistic(bins, k)
    if position > k:
        value += (position - k) * (_order_statistic(bins, k + 1) - value)
    return value


@inner
def shift_by_chance(row, reference, row_bars, reference_bars, blocks, paths, seen, scatter, jumps, out):
    """Write the distances to be expected by chance, (4)."""
    n = np.float64(row)
    m = np.float64(reference)
    out[0] = expected_wasserstein(n, m, scatter)
    out[1] = expected_ks(n, m, seen, jumps, paths)
    out[2] = expected_js(row_bars, reference_bars)
    out[3] = expected_psi(blocks, n, m)


@jit
def describe_bins(row, previous, reference, row_bars, previous_bars, reference_bars, quantiles, paths, out):
    """Write quantiles and distances of one row.

    Parameters
    ----------
    row, previous, reference
        `Bins` of the row, of the one before, which are empty if there is none, and of the reference.
    row_bars, previous_bars, reference_bars
        Their histograms over the same bars, (bar).
    quantiles
        Which quantiles, (quantile).
    paths
        `bridges()`.
    out
        Gets the quantiles, the histogram, `SHIFTS` from the reference and from the row before, and those from the
        reference by chance if there is room for them, (column).
    """
    for k in range(quantiles.size):
        out[k] = quantile_of_bins(row, quantiles[k])
    at = quantiles.size
    out[at : at + row_bars.size] = row_bars
    at += row_bars.size
    out[at:] = np.nan
    seen = np.empty(GRID + 1, np.bool_)
    blocks = np.empty((BINS, 2))
    if row[2][-1] and previous[2][-1]:
        out[at + 4], out[at + 5], _, _ = compared(row, previous, seen, False)
        out[at + 6] = js(row_bars, previous_bars)
        out[at + 7] = psi_of_bins(row, previous, blocks)
    if row[2][-1] and reference[2][-1]:
        by_chance = out[at + 8 : at + 12]
        out[at], out[at + 1], scatter, jumps = compared(row, reference, seen, by_chance.size > 0)
        out[at + 2] = js(row_bars, reference_bars)
        out[at + 3] = psi_of_bins(row, reference, blocks)
        if by_chance.size:
            n, m = row[2][-1], reference[2][-1]
            shift_by_chance(n, m, row_bars, reference_bars, blocks, paths, seen, scatter, jumps, by_chance)
