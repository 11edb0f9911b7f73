"""Fixed bins for any float: counting into them, and what their counts tell.

Every float falls into one of 65,536 bins, named by the leading 16 bits of its float32 put in the order of the floats
(sign, exponent, 7 bits of mantissa). Such bins are at most 1/128 of their values wide, need no range known beforehand,
and add up exactly over tiles.
"""

import numpy as np

from trajlab.kernels.tiles import inner, jit, tile

LARGEST = float(np.finfo(np.float32).max)

KEYS = 1 << 16
"""Number of fixed bins."""


def _edges() -> np.ndarray:
    keys = np.arange(KEYS, dtype=np.uint32)
    bits = np.where(keys >= KEYS // 2, keys ^ 0x8000, keys ^ 0xFFFF) << 16
    negative = bits >= 0x80000000
    with np.errstate(invalid="ignore"):
        lower = np.where(negative, bits | 0xFFFF, bits).astype(np.uint32).view(np.float32).astype(np.float64)
    beyond = float(np.float64(2) ** 128)
    lower = np.where(np.isfinite(lower), lower, np.where(negative, -beyond, beyond))
    lower[KEYS // 2] = 0.0
    return np.append(lower, beyond)


EDGES = _edges()
"""Lower edges of the bins, and the upper edge of the last, (KEYS + 1)."""


@inner
def key_of(bits):
    """Position of a float among the bins, from its bits as a signed 32-bit integer."""
    flip = np.uint32(bits >> 31) | np.uint32(0x80000000)
    return np.int64((np.uint32(bits) ^ flip) >> np.uint32(16))


@inner
def to_single(value):
    """Round a float64 to float32; finite values beyond its range to its largest ones."""
    if np.isfinite(value):
        return np.float32(min(max(value, -LARGEST), LARGEST))
    return np.float32(value)


@jit
def count_keys(rows, lo, hi, like, like_bits, out):
    """Add each row's entries to its bins, (step, KEYS) uint32; bins beyond the finite values take NaN and Inf."""
    single = np.empty(hi - lo, np.float32)
    for s in range(rows.size):
        if like.itemsize == 4:
            bits = tile(rows[s], lo, hi, like_bits)
            for i in range(hi - lo):
                out[s, key_of(np.int32(bits[i]))] += np.uint32(1)
        else:
            w = tile(rows[s], lo, hi, like)
            for i in range(hi - lo):
                single[i] = to_single(w[i])
            single_bits = single.view(np.int32)
            for i in range(hi - lo):
                out[s, key_of(single_bits[i])] += np.uint32(1)


@inner
def _binned_distances(a, b, n_a, n_b, first, last, edges):
    """Wasserstein-1 and KS distance of two histograms whose entries are spread evenly within a bin."""
    area = 0.0
    ks = 0.0
    c_a = 0
    c_b = 0
    before = 0.0
    for i in range(first, last):
        if a[i] == 0 and b[i] == 0:
            area += abs(before) * (edges[i + 1] - edges[i])
            continue
        c_a += a[i]
        c_b += b[i]
        after = c_a / n_a - c_b / n_b
        width = edges[i + 1] - edges[i]
        if before * after >= 0.0:
            area += 0.5 * width * (abs(before) + abs(after))
        else:
            area += 0.5 * width * (before * before + after * after) / (abs(before) + abs(after))
        ks = max(ks, abs(after))
        before = after
    return area, ks


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
def _binned_bars(counts, cuts, first, last, out):
    """Write a histogram of fixed bins over wider ones, (bin)."""
    for k in range(cuts.size - 1):
        total = 0
        for i in range(max(cuts[k], first), min(cuts[k + 1], last)):
            total += counts[i]
        out[k] = total


@inner
def psi_term(p, q):
    """Give what one bin with shares p and q adds to the population stability index."""
    if p == q:
        return 0.0
    if p == 0.0 or q == 0.0:
        return np.inf
    return (p - q) * np.log(p / q)


@inner
def _binned_psi(a, b, n_a, n_b, first, last):
    """Compute the population stability index of `a` over the deciles of `b`."""
    psi = 0.0
    p = 0
    q = 0
    reached = 0
    decile = 1
    for i in range(first, last):
        p += a[i]
        q += b[i]
        reached += b[i]
        if b[i] and decile < 10 and 10 * reached >= decile * n_b:
            psi += psi_term(p / n_a, q / n_b)
            p = 0
            q = 0
            while decile < 10 and 10 * reached >= decile * n_b:
                decile += 1
    return psi + psi_term(p / n_a, q / n_b)


@inner
def _occupied(counts, last):
    """First bin that holds an entry, and the end of those, below `last`."""
    first = 0
    while first < last and counts[first] == 0:
        first += 1
    while last > first and counts[last - 1] == 0:
        last -= 1
    return first, last


@jit
def describe_binned(rows, others, quantiles, cuts, edges, out):
    """Write quantiles, histogram and distances of rows that were counted by `count_keys`.

    Parameters
    ----------
    rows
        Bins of each row, (step, KEYS).
    others
        Bins of the rows that each is compared with, (other, KEYS): the row before the first, and the reference.
    quantiles
        Which quantiles, (quantile).
    cuts
        First bin of each bar of the histogram and the end of the last, (bin + 1).
    edges
        `EDGES`.
    out
        Each step's quantiles, histogram, `SHIFTS` from the reference and `SHIFTS` from the row before.
    """
    end_finite = KEYS // 2 + 0x7F80
    for counts in (rows, others):
        counts[:, : KEYS // 2 - 0x7F80] = 0
        counts[:, end_finite:] = 0
    other_first, other_last = _occupied(others[1], end_finite)
    other_n = np.int64(others[1].sum())
    before = others[0]
    before_first, before_last = _occupied(before, end_finite)
    before_n = np.int64(before.sum())
    other_bars = np.empty(cuts.size - 1)
    before_bars = np.empty(cuts.size - 1)
    _binned_bars(others[1], cuts, other_first, other_last, other_bars)
    _binned_bars(before, cuts, before_first, before_last, before_bars)
    for s in range(rows.shape[0]):
        counts = rows[s]
        n = np.int64(counts.sum())
        first, last = _occupied(counts, end_finite)
        for k in range(quantiles.size):
            out[s, k] = _binned_quantile(counts, n, first, last, quantiles[k], edges)
        at = quantiles.size
        bars = out[s, at : at + cuts.size - 1]
        _binned_bars(counts, cuts, first, last, bars)
        at += cuts.size - 1
        out[s, at:] = np.nan
        if n and other_n:
            lo, hi = min(first, other_first), max(last, other_last)
            out[s, at], out[s, at + 1] = _binned_distances(counts, others[1], n, other_n, lo, hi, edges)
            out[s, at + 2] = js(bars, other_bars)
            out[s, at + 3] = _binned_psi(counts, others[1], n, other_n, lo, hi)
        if n and before_n:
            lo, hi = min(first, before_first), max(last, before_last)
            out[s, at + 4], out[s, at + 5] = _binned_distances(counts, before, n, before_n, lo, hi, edges)
            out[s, at + 6] = js(bars, before_bars)
            out[s, at + 7] = _binned_psi(counts, before, n, before_n, lo, hi)
        before, before_first, before_last, before_n = counts, first, last, n
        before_bars = bars


@inner
def _binned_quantile(counts, n, first, last, q, edges):
    """Quantile of entries that are spread evenly over their bin."""
    position = q * (n - 1)
    reached = 0
    for i in range(first, last):
        if counts[i] and reached + counts[i] > position:
            share = (position - reached + 0.5) / counts[i]
            return edges[i] + min(share, 1.0) * (edges[i + 1] - edges[i])
        reached += counts[i]
    return np.nan


def histogram_cuts(low: float, high: float, bins: int) -> np.ndarray:
    """Give the fixed bins at which a histogram over about [low, high] is cut, (bins + 1).

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
