"""Quantiles, histograms and distances of rows that were counted into fixed bins."""

import numpy as np

from trajlab.scan.jit import inner, jit
from trajlab.scan.kernels.histogram import KEYS, occupied


@inner
def bars(keys, upto, cuts, out):
    """Write a histogram of fixed bins over wider ones, (bin)."""
    before = 0
    for k in range(cuts.size - 1):
        reached = upto[np.searchsorted(keys[:-1], cuts[k + 1])]
        out[k] = reached - before
        before = reached


@inner
def js(a, b):
    """Jensen-Shannon distance, the square root of the divergence in base 2, of two histograms over the same bins."""
    n = a.sum()
    m = b.sum()
    divergence = 0.0
    for k in range(a.size):
        p = a[k] / n
        q = b[k] / m
        if p > 0.0:
            divergence += 0.5 * p * np.log2(2.0 * p / (p + q))
        if q > 0.0:
            divergence += 0.5 * q * np.log2(2.0 * q / (p + q))
    return np.sqrt(max(divergence, 0.0))


@inner
def psi_term(p, q):
    """Return what one bin with shares p and q adds to the population stability index."""
    if p == q:
        return 0.0
    if p == 0.0 or q == 0.0:
        return np.inf
    return (p - q) * np.log(p / q)


@inner
def _psi(a_keys, a_upto, b_keys, b_upto):
    """Compute the population stability index of `a` over the deciles of `b`."""
    n_a = a_upto[-1]
    n_b = b_upto[-1]
    psi = 0.0
    i = 0
    j = 0
    for decile in range(1, 10):
        edge = np.searchsorted(b_upto, (decile * n_b + 9) // 10)
        if edge > j:
            position = np.searchsorted(a_keys[:-1], b_keys[edge - 1] + 1)
            psi += psi_term((a_upto[position] - a_upto[i]) / n_a, (b_upto[edge] - b_upto[j]) / n_b)
            i = position
            j = edge
    return psi + psi_term((n_a - a_upto[i]) / n_a, (n_b - b_upto[j]) / n_b)


@inner
def _distances(a_keys, a_upto, b_keys, b_upto, edges):
    """Wasserstein-1 and KS distance of two rows whose entries are spread evenly within a bin."""
    n_a = a_upto[-1]
    n_b = b_upto[-1]
    area = 0.0
    ks = 0.0
    before = 0.0
    i = 0
    j = 0
    end = np.int64(min(a_keys[0], b_keys[0]))
    while a_keys[i] < KEYS or b_keys[j] < KEYS:
        key = np.int64(min(a_keys[i], b_keys[j]))
        i += a_keys[i] == key
        j += b_keys[j] == key
        after = (a_upto[i] * n_b - b_upto[j] * n_a) / (n_a * n_b)
        area += abs(before) * (edges[key] - edges[end])
        width = edges[key + 1] - edges[key]
        if before * after >= 0.0:
            area += 0.5 * width * (abs(before) + abs(after))
        else:
            area += 0.5 * width * (before * before + after * after) / (abs(before) + abs(after))
        ks = max(ks, abs(after))
        before = after
        end = key + 1
    return area, ks


@inner
def scatter(row, other, edges):
    """Return ∫ sqrt(F(1 - F)) dx, F the distribution function of two rows together: how far samples of it lie apart."""
    a_keys, a_upto = row
    b_keys, b_upto = other
    n = np.float64(a_upto[-1] + b_upto[-1])
    area = 0.0
    before = 0.0
    i = 0
    j = 0
    end = np.int64(min(a_keys[0], b_keys[0]))
    while a_keys[i] < KEYS or b_keys[j] < KEYS:
        key = np.int64(min(a_keys[i], b_keys[j]))
        i += a_keys[i] == key
        j += b_keys[j] == key
        reached = (a_upto[i] + b_upto[j]) / n
        after = np.sqrt(reached * (1.0 - reached))
        area += before * (edges[key] - edges[end]) + 0.5 * (before + after) * (edges[key + 1] - edges[key])
        before = after
        end = key + 1
    return area


@inner
def _quantile(keys, upto, q, edges):
    """Quantile of entries that are spread evenly over their bin."""
    n = upto[-1]
    if n == 0:
        return np.nan
    position = q * (n - 1)
    i = min(np.searchsorted(upto[1:], position, "right"), keys.size - 2)
    share = (position - upto[i] + 0.5) / (upto[i + 1] - upto[i])
    return edges[keys[i]] + min(share, 1.0) * (edges[keys[i] + 1] - edges[keys[i]])


@inner
def _shift(row, other, row_bars, other_bars, edges, out):
    if row[1][-1] and other[1][-1]:
        out[0], out[1] = _distances(row[0], row[1], other[0], other[1], edges)
        out[2] = js(row_bars, other_bars)
        out[3] = _psi(row[0], row[1], other[0], other[1])


@inner
def _describe(row, before, reference, before_bars, reference_bars, quantiles, cuts, edges, out):
    """Write what `describe_binned` says of one row, and return the part of `out` that is its histogram."""
    for k in range(quantiles.size):
        out[k] = _quantile(row[0], row[1], quantiles[k], edges)
    at = quantiles.size
    row_bars = out[at : at + cuts.size - 1]
    bars(row[0], row[1], cuts, row_bars)
    at += cuts.size - 1
    out[at:] = np.nan
    _shift(row, reference, row_bars, reference_bars, edges, out[at : at + 4])
    _shift(row, before, row_bars, before_bars, edges, out[at + 4 : at + 8])
    out[at + 8] = reference[1][-1]
    out[at + 9] = scatter(row, reference, edges)
    return row_bars


@jit
def describe_bins(row, previous, reference, quantiles, cuts, edges, out):
    """Write quantiles, histogram and distances of one row, (column), as `describe_binned` does.

    Parameters
    ----------
    row, previous, reference
        `Bins` of the row, of the one before, which are empty if there is none, and of the reference.
    quantiles, cuts, edges, out
        As for `describe_binned`.
    """
    reference_bars = np.empty(cuts.size - 1)
    before_bars = np.empty(cuts.size - 1)
    bars(reference[0], reference[1], cuts, reference_bars)
    bars(previous[0], previous[1], cuts, before_bars)
    _describe(row, previous, reference, before_bars, reference_bars, quantiles, cuts, edges, out)


@jit
def describe_binned(rows, previous, reference, quantiles, cuts, edges, out):
    """Write quantiles, histogram and distances of rows that were counted into fixed bins.

    Parameters
    ----------
    rows
        Entries of each row by leading bits, (step, KEYS); zero afterwards.
    previous
        Those of the row before the first, (KEYS), none if there is no such row; zero afterwards.
    reference
        Bins of the row that each is compared with, see `bins_of`.
    quantiles
        Which quantiles, (quantile).
    cuts
        First key of each bar of the histogram and the end of the last, (bin + 1).
    edges
        `EDGES`.
    out
        Each step's quantiles, histogram, `SHIFTS` from the reference and from the row before, the reference's entries
        and the `scatter` of both.
    """
    keys = np.empty((2, KEYS + 1), np.int32)
    upto = np.empty((2, KEYS + 1), np.int64)
    reference_bars = np.empty(cuts.size - 1)
    before_bars = np.empty(cuts.size - 1)
    bars(reference[0], reference[1], cuts, reference_bars)
    m = occupied(previous, keys[1], upto[1])
    before = keys[1, : m + 1], upto[1, : m + 1]
    bars(before[0], before[1], cuts, before_bars)
    for s in range(rows.shape[0]):
        m = occupied(rows[s], keys[s % 2], upto[s % 2])
        row = keys[s % 2, : m + 1], upto[s % 2, : m + 1]
        before_bars = _describe(row, before, reference, before_bars, reference_bars, quantiles, cuts, edges, out[s])
        before = row
