"""Sums of powers over one tile of a row, its extremes and its zeros."""

import math

import numpy as np

from trajlab.scan.jit import exact_inner, inner
from trajlab.scan.tiles import compact, extremes, float_of

MOMENTS = ("count", "mean", "m2", "m3", "m4", "abs", "min", "max", "zeros", "nonfinite")
"""Columns of a row, over its finite entries; m2 to m4 are sums of powers of (w - mean), abs is Σ|w|."""


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


@exact_inner
def _add(w, powers, center, bits, float_bits, out):
    """Add to `out` the entries of w, whose powers about a center are known.

    Fast math would round these few operations as the loop around them suits it.
    """
    n = w.size
    d = powers[0] / n
    if 5.0 * d * d > 4.0 * powers[1] / n:  # over two standard deviations from the mean: differences would lose digits
        center += d
        powers = _powers(w, center)
        d = powers[0] / n
    s1, s2, s3, s4, size = powers
    m3 = s3 - 3.0 * d * s2 + 2.0 * n * d * d * d
    m4 = s4 - 4.0 * d * s3 + 6.0 * d * d * s2 - 3.0 * n * (d * d) * (d * d)
    low, high = extremes(bits)
    _merge(out, n, center + d, max(s2 - d * s1, 0.0), m3, m4)
    out[5] += size
    out[6] = min(out[6], float_of(low, bits, w, float_bits))
    out[7] = max(out[7], float_of(high, bits, w, float_bits))
    out[8] += _zeros(w)


@exact_inner
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


@inner
def add_powers(w, bits, float_bits, out):
    """Add the finite entries of one tile of a row.

    Parameters
    ----------
    w, bits
        The tile, and its bits as signed integers of the stored size.
    float_bits
        Empty array of the signed integers of the size of the floats.
    out
        `MOMENTS` of the row, added to.
    """
    center = np.float64(w[0])
    powers = _powers(w, center)
    if math.isfinite(powers[1]):
        _add(w, powers, center, bits, float_bits, out)
    else:
        finite = np.empty(w.size, w.dtype)
        m = compact(w, w, finite, np.empty(w.size, w.dtype))
        out[9] += w.size - m
        if m > 0:
            x = finite[:m]
            center = np.float64(x[0])
            _add(x, _powers(x, center), center, x.view(float_bits.dtype), float_bits, out)
