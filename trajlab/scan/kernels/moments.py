"""Moments, extremes and zeros of each row."""

import math
from dataclasses import dataclass

import numpy as np

from trajlab import sizes
from trajlab.scan.block import Block, Kernel
from trajlab.scan.jit import inner, jit
from trajlab.scan.tiles import compact, extremes, tile

MOMENTS = ("count", "mean", "m2", "m3", "m4", "abs", "min", "max", "zeros", "nonfinite")
"""Columns of `moments` over finite entries; m2 to m4 are sums of powers of (w - mean)."""


@inner
def _powers(w, center):
    """Sum the first four powers of w - center, and |w|."""
    s1 = 0.0
    s2 = 0.0
    s3 = 0.0
    s4 = 0.0
    size = 0.0
    for i in range(w.size):
        y = np.float64(w[i])
        x = y - center
        x2 = x * x
        s1 += x
        s2 += x2
        s3 += x2 * x
        s4 += x2 * x2
        size += abs(y)
    return s1, s2, s3, s4, size


@inner
def _zeros(w):
    zeros = np.int32(0)
    for i in range(w.size):
        zeros = np.int32(zeros + np.int32(w[i] == 0))
    return zeros


@inner
def _moments(w, powers, center, bits, out):
    """Add to `out` the entries of w, whose powers about a center are known."""
    n = w.size
    d = powers[0] / n
    if 5.0 * d * d > 4.0 * powers[1] / n:  # further than two standard deviations off: differences would lose digits
        center += d
        powers = _powers(w, center)
        d = powers[0] / n
    s1, s2, s3, s4, size = powers
    m3 = s3 - 3.0 * d * s2 + 2.0 * n * d * d * d
    m4 = s4 - 4.0 * d * s3 + 6.0 * d * d * s2 - 3.0 * n * (d * d) * (d * d)
    ends = np.empty(2, bits.dtype)
    ends[0], ends[1] = extremes(bits)
    ends_float = ends.view(w.dtype)
    _merge(out, n, center + d, max(s2 - d * s1, 0.0), m3, m4)
    out[5] += size
    out[6] = min(out[6], np.float64(ends_float[0]))
    out[7] = max(out[7], np.float64(ends_float[1]))
    out[8] += _zeros(w)


@inner
def _merge(out, n, mean, m2, m3, m4):
    """Add the central moments of n entries to `out`; Pébay 2008, SAND2008-6212, eq. 3.1."""
    n_a = out[0]
    total = n_a + n
    d = mean - out[1]
    a2 = out[2]
    a3 = out[3]
    d_n = d / total
    out[4] += (
        m4
        + d * d_n * d_n * d_n * n_a * n * (n_a * n_a - n_a * n + n * n)
        + 6 * d_n * d_n * (n_a * n_a * m2 + n * n * a2)
        + 4 * d_n * (n_a * m3 - n * a3)
    )
    out[3] += m3 + d * d_n * d_n * n_a * n * (n_a - n) + 3 * d_n * (n_a * m2 - n * a2)
    out[2] += m2 + d * d_n * n_a * n
    out[1] += d_n * n
    out[0] = total


@jit
def moments(rows, lo, hi, like, like_bits, out):
    """Add the moments, extremes and zeros of each row's finite entries to `out`, (step, `MOMENTS`), tile by tile."""
    for s in range(rows.size):
        for start in range(lo, hi, sizes.TILE_ENTRIES):
            stop = min(start + sizes.TILE_ENTRIES, hi)
            w = tile(rows[s], start, stop, like)
            center = np.float64(w[0])
            powers = _powers(w, center)
            if math.isfinite(powers[1]):
                _moments(w, powers, center, tile(rows[s], start, stop, like_bits), out[s])
            else:
                finite = np.empty(w.size, like.dtype)
                m = compact(w, w, finite, np.empty(w.size, like.dtype))
                out[s, 9] += w.size - m
                if m > 0:
                    x = finite[:m]
                    center = np.float64(x[0])
                    _moments(x, _powers(x, center), center, x.view(like_bits.dtype), out[s])


@dataclass(frozen=True)
class Moments(Kernel):
    """Kernel: the columns `MOMENTS` of each step."""

    takes_spans = True
    columns = MOMENTS
    pooling = {"min": "min", "max": "max"}

    def start(self, block: Block, shared: None) -> np.ndarray:
        """Return sums of 0."""
        out = np.zeros((block.steps, len(MOMENTS)))
        out[:, MOMENTS.index("min")] = np.inf
        out[:, MOMENTS.index("max")] = -np.inf
        return out

    def add(self, block: Block, lo: int, hi: int, state: np.ndarray) -> None:
        """Add some tiles."""
        moments(block.rows.addresses, lo, hi, block.rows.like, block.rows.like_bits, state)

    def finish(self, block: Block, state: np.ndarray) -> tuple[np.ndarray, None]:
        """Return the sums; extremes of no entry are NaN."""
        empty = state[:, 0] == 0
        state[empty, MOMENTS.index("min")] = np.nan
        state[empty, MOMENTS.index("max")] = np.nan
        return state, None
