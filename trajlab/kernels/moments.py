"""Moments, extremes and zeros of each row."""

import math
from dataclasses import dataclass

import numpy as np

from trajlab.kernels.block import Block
from trajlab.kernels.tiles import compact, inner, jit, squares, tile

MOMENTS = ("count", "mean", "m2", "m3", "m4", "abs", "min", "max", "zeros", "nonfinite")
"""Columns of `moments` over finite entries; m2 to m4 are sums of powers of (w - mean)."""


@inner
def _extremes(bits, shift, magnitude):
    low = magnitude
    high = ~magnitude
    for i in range(bits.size):
        key = bits[i] ^ ((bits[i] >> shift) & magnitude)  # signed integers in the order of the floats
        low = min(low, key)
        high = max(high, key)
    return low ^ ((low >> shift) & magnitude), high ^ ((high >> shift) & magnitude)


@inner
def _moments(w, bits, shift, magnitude, out):
    n = w.size
    if n == 0:
        return
    total = 0.0
    for i in range(n):
        total += np.float64(w[i])
    mean = total / n
    m2 = 0.0
    m3 = 0.0
    m4 = 0.0
    for i in range(n):
        d = np.float64(w[i]) - mean
        m2 += d * d
        m3 += d * d * d
        m4 += (d * d) * (d * d)
    size = 0.0
    zeros = 0
    for i in range(n):
        size += abs(np.float64(w[i]))
        zeros += w[i] == 0
    low, high = _extremes(bits, shift, magnitude)
    ends = np.empty(2, bits.dtype)
    ends[0] = low
    ends[1] = high
    ends_float = ends.view(w.dtype)
    _merge(out, n, mean, m2, m3, m4)
    out[5] += size
    out[6] = min(out[6], np.float64(ends_float[0]))
    out[7] = max(out[7], np.float64(ends_float[1]))
    out[8] += zeros


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
def moments(rows, lo, hi, like, like_bits, shift, magnitude, out):
    """Add the moments, extremes and zeros of each row's finite entries to `out`, (step, `MOMENTS`).

    `shift` and `magnitude` are the position of the sign bit and the mask of the other bits, as integers of the
    type of `like_bits`.
    """
    finite = np.empty(hi - lo, like.dtype)
    unused = np.empty(hi - lo, like.dtype)
    for s in range(rows.size):
        w = tile(rows[s], lo, hi, like)
        if math.isfinite(squares(w)):
            _moments(w, tile(rows[s], lo, hi, like_bits), shift, magnitude, out[s])
        else:
            m = compact(w, w, finite, unused)
            out[s, 9] += w.size - m
            x = finite[:m]
            _moments(x, x.view(like_bits.dtype), shift, magnitude, out[s])


@dataclass(frozen=True)
class Moments:
    """Kernel: the columns `MOMENTS` of each step."""

    columns = MOMENTS
    summary = ()

    def start(self, block: Block) -> np.ndarray:
        """Make the sums."""
        out = np.zeros((block.steps, len(MOMENTS)))
        out[:, MOMENTS.index("min")] = np.inf
        out[:, MOMENTS.index("max")] = -np.inf
        return out

    def tile(self, block: Block, lo: int, hi: int, state: np.ndarray) -> None:
        """Add one tile."""
        integer = block.like_bits.dtype
        sign, magnitude = integer.type(8 * integer.itemsize - 1), np.iinfo(integer).max
        moments(block.addresses, lo, hi, block.like, block.like_bits, sign, integer.type(magnitude), state)

    def finish(self, block: Block, state: np.ndarray) -> tuple[np.ndarray, None]:
        """Give the sums; extremes of no entry are NaN."""
        empty = state[:, 0] == 0
        state[empty, MOMENTS.index("min")] = np.nan
        state[empty, MOMENTS.index("max")] = np.nan
        return state, None

    def merge(self, earlier: None, later: None) -> None:
        """Nothing is kept of all steps together."""

    def summarize(self, whole: None, shape: tuple[int, ...], indices: np.ndarray | None) -> np.ndarray:
        """Nothing is known of all steps together."""
        return np.empty(0)
