"""Counts of entries by their state in a row of gradients and in the one before, their sign flips and weight updates."""

import numpy as np

from trajlab.scan.jit import inner
from trajlab.scan.tiles import squares

ONCE = ("valid", "zero_prev", "zero_next", "zero_both", "signed", "flips", "gg", "sine", "cosine") + (
    "moved",
    "change",
)
"""Columns that need no threshold, for gradients q (before) and g over the entries finite in both: their number, those
that are zero before, now and both times, those non-zero both times, sign flips among these, Σg², and over the
entries non-zero both times the sums of sine and cosine of twice the angle of the point (q, g): 2qg/(q² + g²) and
(g² − q²)/(q² + g²); the number of entries whose weights are known and finite at both steps, and Σ|Δw| of these."""

SECANTS = ("minima", "maxima")
"""Sign flips at which the weight moved and Δg·Δw > 0 (convex) or < 0 (concave)."""

PER_TAU = ("near_prev", "near_next", "zero_near", "near_zero", "near_near", "retained_signed", "retained_flips") + (
    "moved_retained",
    "change_retained",
    "moved_unflipped",
    "change_unflipped",
    "moved_released",
    "change_released",
)
"""Columns for each threshold, where near means |g| <= tau: entries near before, near now, zero before and near now,
near before and zero now, near both times; non-zero both times among the latter (retained) and flips among those;
number and Σ|Δw| of retained entries, of retained ones that did not flip, and of released ones (near before, not now)
whose weights are known."""


@inner
def _flipped(before, now):
    return ((before > 0) & (now < 0)) | ((before < 0) & (now > 0))


@inner
def _as_stored(tau, g):
    """Return the largest number of the element type of `g` up to a threshold, which as many entries are within."""
    stored = g.dtype.type(tau)
    return np.nextafter(stored, g.dtype.type(-np.inf)) if np.float64(stored) > tau else stored


@inner
def once_counts(q, g, out):
    """Add the columns `ONCE` up to the cosines of rows that are finite."""
    zero_prev = np.int32(0)  # as wide as floats: twice as many lanes as of 64 bits
    zero_next = np.int32(0)
    zero_both = np.int32(0)
    flips = np.int32(0)
    for i in range(g.size):
        zero_prev = np.int32(zero_prev + (q[i] == 0))
        zero_next = np.int32(zero_next + (g[i] == 0))
        zero_both = np.int32(zero_both + ((q[i] == 0) & (g[i] == 0)))
        flips = np.int32(flips + _flipped(q[i], g[i]))
    out[0] += g.size
    out[1] += zero_prev
    out[2] += zero_next
    out[3] += zero_both
    out[4] += g.size - zero_prev - zero_next + zero_both
    out[5] += flips
    out[6] += squares(g)
    sine, cosine = _turned(q, g) if g.itemsize < 8 else _turned_doubles(q, g)
    out[7] += sine
    out[8] += cosine


@inner
def _turned(q, g):
    """Return the sums of sines and cosines of rows of floats whose squares are no zero as float64."""
    sine = 0.0
    cosine = 0.0
    for i in range(g.size):
        x = np.float64(q[i])
        y = np.float64(g[i])
        signed = (q[i] != 0) & (g[i] != 0)
        inverse = 1.0 / (x * x + y * y if signed else 1.0)
        sine += 2.0 * x * y * inverse
        cosine += (y * y - x * x) * inverse if signed else 0.0
    return sine, cosine


@inner
def _turned_doubles(q, g):
    """Return the sums of sines and cosines of any rows."""
    sine = 0.0
    cosine = 0.0
    for i in range(g.size):
        x = abs(np.float64(q[i]))
        y = abs(np.float64(g[i]))
        large = max(x, y)
        ratio = min(x, y) / large if large > 0.0 else 0.0  # squares of tiny entries would underflow
        share = 1.0 / (1.0 + ratio * ratio)
        signed = ratio > 0.0
        toward = 2.0 * ratio * share
        sine += toward if (q[i] > 0) == (g[i] > 0) else -toward
        along = (1.0 - ratio * ratio) * share if signed else 0.0
        cosine += along if y > x else -along
    return sine, cosine


@inner
def near_counts(q, g, tau_prev, tau_next, out):
    """Add the columns `PER_TAU` up to the flips of rows that are finite."""
    most_prev = _as_stored(tau_prev, q)
    most_next = _as_stored(tau_next, g)
    near_prev = np.int32(0)
    near_next = np.int32(0)
    zero_near = np.int32(0)
    near_zero = np.int32(0)
    near_near = np.int32(0)
    signed = np.int32(0)
    flips = np.int32(0)
    for i in range(g.size):
        b = abs(q[i]) <= most_prev
        d = abs(g[i]) <= most_next
        near_prev = np.int32(near_prev + b)
        near_next = np.int32(near_next + d)
        zero_near = np.int32(zero_near + ((q[i] == 0) & d))
        near_zero = np.int32(near_zero + (b & (g[i] == 0)))
        near_near = np.int32(near_near + (b & d))
        signed = np.int32(signed + ((b & d) & (q[i] != 0) & (g[i] != 0)))
        flips = np.int32(flips + ((b & d) & _flipped(q[i], g[i])))
    out[0] += near_prev
    out[1] += near_next
    out[2] += zero_near
    out[3] += near_zero
    out[4] += near_near
    out[5] += signed
    out[6] += flips


@inner
def moved_counts(q, g, dw, out):
    """Add the number of entries, Σ|Δw|, minima and maxima of rows and changes that are finite."""
    total = 0.0
    minima = 0
    maxima = 0
    for i in range(g.size):
        total += abs(dw[i])
    for i in range(g.size):
        up = (q[i] < 0) & (g[i] > 0)
        down = (q[i] > 0) & (g[i] < 0)
        minima += (up & (dw[i] > 0)) | (down & (dw[i] < 0))
        maxima += (up & (dw[i] < 0)) | (down & (dw[i] > 0))
    out[9] += g.size
    out[10] += total
    out[11] += minima
    out[12] += maxima


@inner
def moved_near_counts(q, g, dw, tau_prev, tau_next, out):
    """Add the columns `PER_TAU` from `moved_retained` on, of rows and changes that are finite."""
    most_prev = _as_stored(tau_prev, q)
    most_next = _as_stored(tau_next, g)
    near_prev = np.int32(0)
    retained = np.int32(0)
    flips = np.int32(0)
    for i in range(g.size):
        b = abs(q[i]) <= most_prev
        d = abs(g[i]) <= most_next
        near_prev = np.int32(near_prev + b)
        retained = np.int32(retained + (b & d))
        flips = np.int32(flips + ((b & d) & _flipped(q[i], g[i])))
    change_retained = 0.0
    change_unflipped = 0.0
    change_released = 0.0
    for i in range(g.size):
        b = abs(q[i]) <= most_prev
        d = abs(g[i]) <= most_next
        a = abs(dw[i])
        change_retained += a if b & d else 0.0
        change_unflipped += a if (b & d) & (not _flipped(q[i], g[i])) else 0.0
        change_released += a if b & (not d) else 0.0
    out[7] += retained
    out[8] += change_retained
    out[9] += retained - flips
    out[10] += change_unflipped
    out[11] += near_prev - retained
    out[12] += change_released
