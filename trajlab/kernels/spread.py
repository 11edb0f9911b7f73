"""How the values of each row are spread, and how far that spread moved: histograms, quantiles, KS, Wasserstein.

Every float falls into one of 65,536 fixed bins, named by its leading 16 bits put in the order of the floats
(sign, exponent, 7 bits of mantissa). Such bins are at most 1/128 of their values wide, need no range known
beforehand, and add up exactly over tiles. Rows of at most `EXACT` entries are sorted instead.
"""

from dataclasses import dataclass

import numpy as np

from trajlab.kernels.block import Block, addresses
from trajlab.kernels.tiles import TILE, inner, jit, tile

EXACT = 2 * TILE
"""Rows of up to this many entries are sorted, and their quantiles and distances are exact."""

SORTED_AT_ONCE = 1 << 18
"""Entries that are copied and sorted together."""

LARGEST = float(np.finfo(np.float32).max)

KEYS = 1 << 16
"""Number of fixed bins."""

SHIFTS = ("wasserstein", "ks", "js", "psi")
"""Distances of a row's spread from another's, in the order in which they are computed."""


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
def _key(bits):
    """Position of a float among the bins, from its bits as a signed 32-bit integer."""
    flip = np.uint32(bits >> 31) | np.uint32(0x80000000)
    return np.int64((np.uint32(bits) ^ flip) >> np.uint32(16))


@inner
def _single(value):
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
                out[s, _key(np.int32(bits[i]))] += np.uint32(1)
        else:
            w = tile(rows[s], lo, hi, like)
            for i in range(hi - lo):
                single[i] = _single(w[i])
            single_bits = single.view(np.int32)
            for i in range(hi - lo):
                out[s, _key(single_bits[i])] += np.uint32(1)


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
def _js(a, b):
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
def _sorted_bars(values, cuts, out):
    """Write the histogram of a sorted row, (bin)."""
    single = np.empty(values.size, np.float32)
    for i in range(values.size):
        single[i] = _single(np.float64(values[i]))
    bits = single.view(np.int32)
    counted = 0
    for k in range(cuts.size - 1):
        low = counted
        high = bits.size
        while low < high:
            middle = (low + high) // 2
            if _key(bits[middle]) < cuts[k + 1]:
                low = middle + 1
            else:
                high = middle
        out[k] = low - counted
        counted = low


@inner
def _psi_term(p, q):
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
            psi += _psi_term(p / n_a, q / n_b)
            p = 0
            q = 0
            while decile < 10 and 10 * reached >= decile * n_b:
                decile += 1
    return psi + _psi_term(p / n_a, q / n_b)


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
        psi += _psi_term((i - p) / a.size, (j - q) / b.size)
    return psi


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
            out[s, at + 2] = _js(bars, other_bars)
            out[s, at + 3] = _binned_psi(counts, others[1], n, other_n, lo, hi)
        if n and before_n:
            lo, hi = min(first, before_first), max(last, before_last)
            out[s, at + 4], out[s, at + 5] = _binned_distances(counts, before, n, before_n, lo, hi, edges)
            out[s, at + 6] = _js(bars, before_bars)
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
            out[s, at + 2] = _js(bars, reference_bars)
            out[s, at + 3] = _sorted_psi(values, reference)
        if values.size and before.size:
            out[s, at + 4] = _sorted_wasserstein(values, before)
            out[s, at + 5] = _sorted_ks(values, before)
            out[s, at + 6] = _js(bars, before_bars)
            out[s, at + 7] = _sorted_psi(values, before)
        before = values
        before_bars = bars


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


@dataclass(frozen=True)
class Spread:
    """Kernel: quantiles, a histogram, and `SHIFTS` from the reference and from the row before.

    The histogram spans the range of the first and the last row; see `histogram_cuts`.

    Parameters
    ----------
    quantiles
        Which quantiles.
    bins
        Number of bars of the histogram.
    """

    quantiles: tuple[float, ...]
    bins: int

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return (
            tuple(f"quantile_{i}" for i in range(len(self.quantiles)))
            + tuple(f"bar_{i}" for i in range(self.bins))
            + tuple(f"reference_{name}" for name in SHIFTS)
            + tuple(f"previous_{name}" for name in SHIFTS)
        )

    @property
    def summary(self) -> tuple[str, ...]:
        """Names of the histogram's edges."""
        return tuple(f"edge_{i}" for i in range(self.bins + 1))

    def start(self, block: Block) -> np.ndarray | None:
        """Make the bins of the rows, of the row before and of the reference, unless rows will be sorted."""
        return None if block.size <= EXACT else np.zeros((block.steps + 2, KEYS), np.uint32)

    def tile(self, block: Block, lo: int, hi: int, state: np.ndarray | None) -> None:
        """Count the entries of one tile."""
        if state is None:
            return
        count_keys(block.addresses, lo, hi, block.like, block.like_bits, state[2:])
        for position, other in enumerate((block.previous, block.reference)):
            if other is not None:
                count_keys(addresses([other]), lo, hi, block.like, block.like_bits, state[position : position + 1])

    def finish(self, block: Block, state: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Give the columns of each step, and the edges of the histogram."""
        out = np.empty((block.steps, len(self.columns)))
        quantiles, cuts = np.array(self.quantiles, np.float64), self._cuts(block)
        if state is not None:
            describe_binned(state[2:], state[:2], quantiles, cuts, EDGES, out)
        else:
            missing = np.full(block.size, np.nan, block.like.dtype)
            others = np.sort([missing if row is None else row for row in (block.previous, block.reference)])
            at_once = max(1, SORTED_AT_ONCE // max(block.size, 1))
            for first in range(0, block.steps, at_once):
                rows = np.sort(block.rows[first : first + at_once])
                describe_sorted(rows, others, quantiles, cuts, out[first : first + at_once])
                others[0] = rows[-1]
        return out, EDGES[cuts]

    def merge(self, earlier: np.ndarray, later: np.ndarray) -> np.ndarray:
        """Keep the edges, which are the same for all blocks."""
        return earlier

    def summarize(self, whole: np.ndarray, shape: tuple[int, ...], indices: np.ndarray | None) -> np.ndarray:
        """Give the edges of the histogram."""
        return whole

    def _cuts(self, block: Block) -> np.ndarray:
        ends = np.concatenate([row[np.isfinite(row)] for row in block.ends])
        low, high = (float(ends.min()), float(ends.max())) if ends.size else (np.nan, np.nan)
        return histogram_cuts(low, high, self.bins)
