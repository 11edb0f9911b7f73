"""Sums over one tile of a row that compare it with the same tile of the previous row and of a reference."""

import math

import numpy as np

from trajlab.scan.jit import inner
from trajlab.scan.tiles import compact, squares

PAIRS = (
    "nonfinite", "squares",
    "reference_valid", "reference_l1", "reference_l2", "reference_linf", "reference_dot", "reference_ww",
    "reference_rr", "reference_changed", "reference_beyond", "reference_sign", "reference_changed_ww",
    "previous_valid", "previous_l2", "previous_rr", "previous_flips", "previous_signed",
)  # fmt: skip
"""Columns of a row w.

- nonfinite, squares: number of entries that are NaN or Inf, and Σw² of the others
- reference_…, over the entries that are finite in w and the reference r: their number (valid), Σ|w-r|, Σ(w-r)²,
  max|w-r|, Σwr (dot), Σw², Σr²; numbers of entries of other bits (changed), with |w-r| > atol + rtol·|r| (beyond), and
  of another sign, -1, 0 or 1; and Σw² of the changed entries
- previous_…, the same for the previous row: valid, l2, rr; number of sign flips among the entries that are non-zero in
  both (flips), and number of these entries (signed)
"""

REFERENCE = PAIRS.index("reference_valid")
PREVIOUS = PAIRS.index("previous_valid")


@inner
def _sums(w, r, v):
    """Return sums over w and its differences from r and v, and the largest difference from r.

    Σw² of changed entries may compare values: equal values of other bits are zeros of opposite sign, which add 0.
    """
    dot = 0.0
    l1 = 0.0
    l2 = 0.0
    update = 0.0
    changed_ww = 0.0
    linf = np.int64(0)
    for i in range(w.size):
        x = np.float64(w[i])
        y = np.float64(r[i])
        d = x - y
        a = np.float64(abs(d))
        u = x - np.float64(v[i])
        dot += x * y
        l1 += a
        l2 += d * d
        update += u * u
        changed_ww += x * x if d != 0 else 0.0
        linf = max(linf, a.view(np.int64))  # non-negative floats order like their bits
    return dot, l1, l2, np.int64(linf).view(np.float64), update, changed_ww


@inner
def _counts(w, w_bits, r_bits, v_bits):
    """Count zeros, and entries whose bits differ from r, or whose sign bits from r or v; 32 bits do."""
    zeros = np.int32(0)
    changed = np.int32(0)
    reference_signs = np.int32(0)
    previous_signs = np.int32(0)
    for i in range(w.size):
        zeros = np.int32(zeros + np.int32(w[i] == 0))
        changed = np.int32(changed + np.int32(w_bits[i] != r_bits[i]))
        reference_signs = np.int32(reference_signs + np.int32((w_bits[i] ^ r_bits[i]) < 0))
        previous_signs = np.int32(previous_signs + np.int32((w_bits[i] ^ v_bits[i]) < 0))
    return zeros, changed, reference_signs, previous_signs


@inner
def _changed(w_bits, r_bits):
    changed = 0
    for i in range(w_bits.size):
        changed += w_bits[i] != r_bits[i]
    return changed


@inner
def _unequal(w, r):
    unequal = 0
    for i in range(w.size):
        unequal += w[i] != r[i]
    return unequal


@inner
def zeros(w):
    """Count zeros."""
    zeros = 0
    for i in range(w.size):
        zeros += w[i] == 0
    return zeros


@inner
def _beyond(w, r, atol, rtol):
    beyond = 0
    for i in range(w.size):
        y = np.float64(r[i])
        beyond += abs(np.float64(w[i]) - y) > atol + rtol * abs(y)
    return beyond


@inner
def _signs(w, r):
    sign = 0
    for i in range(w.size):
        sign += ((w[i] > 0) != (r[i] > 0)) | ((w[i] < 0) != (r[i] < 0))
    return sign


@inner
def _flips(w, v, w_bits, v_bits):
    flips = 0
    signed = 0
    for i in range(w.size):
        both = (w[i] != 0) & (v[i] != 0)
        flips += both & ((w_bits[i] ^ v_bits[i]) < 0)
        signed += both
    return flips, signed


@inner
def _against_reference(out, n, sums, ww, rr, changed, beyond, sign):
    dot, l1, l2, linf, _, changed_ww = sums
    if changed == n:  # both sums round differently, and their ratio must be 1
        changed_ww = ww
    out[0] += n
    out[1] += l1
    out[2] += l2
    out[3] = max(out[3], linf)
    out[4] += dot
    out[5] += ww
    out[6] += rr
    out[7] += changed
    out[8] += beyond
    out[9] += sign
    out[10] += changed_ww


@inner
def _against_previous(out, n, sums, vv, flips, signed):
    out[0] += n
    out[1] += sums[4]
    out[2] += vv
    out[3] += flips
    out[4] += signed


@inner
def _finite_pairs(w, r, v, like_bits, atol, rtol, kept, compared, stepped):
    """Add the entries of a tile at which both rows are finite, for the reference and for the row before."""
    tolerant = atol != 0.0 or rtol != 0.0
    m = compact(w, r, kept[0], kept[1])
    x, y = kept[0, :m], kept[1, :m]
    changed = _changed(x.view(like_bits.dtype), y.view(like_bits.dtype))
    beyond = _beyond(x, y, atol, rtol) if tolerant else _unequal(x, y)
    _against_reference(compared, m, _sums(x, y, y), squares(x), squares(y), changed, beyond, _signs(x, y))
    m = compact(w, v, kept[0], kept[1])
    x, y = kept[0, :m], kept[1, :m]
    flips, signed = _flips(x, y, x.view(like_bits.dtype), y.view(like_bits.dtype))
    _against_previous(stepped, m, _sums(x, y, y), squares(y), flips, signed)


@inner
def add_pairs(w, r, v, w_bits, r_bits, v_bits, of_r, of_v, float_bits, atol, rtol, out):
    """Add one tile of a row to its sums.

    Parameters
    ----------
    w, r, v
        The tile of the row, of the reference and of the previous row.
    w_bits, r_bits, v_bits
        Their bits as signed integers of the stored size.
    of_r, of_v
        Σr² and the number of zeros of the reference and of the previous row.
    float_bits
        Empty array of the signed integers of the size of the floats.
    atol, rtol
        Tolerances of `beyond`.
    out
        `PAIRS` of the row, added to.

    Returns
    -------
    of_w, differing
        Σw² and the number of zeros of the row, and the number of entries whose bits differ from the reference.
    """
    n = w.size
    rr, r_zeros = of_r
    vv, v_zeros = of_v
    compared = out[REFERENCE:PREVIOUS]
    stepped = out[PREVIOUS:]
    ww = squares(w)
    w_zeros, differing, reference_signs, previous_signs = _counts(w, w_bits, r_bits, v_bits)
    if math.isfinite(ww) and math.isfinite(rr) and math.isfinite(vv):
        sums = _sums(w, r, v)
        out[1] += ww
        beyond, sign = np.int64(differing), np.int64(reference_signs)
        if atol != 0.0 or rtol != 0.0:
            beyond = _beyond(w, r, atol, rtol)
        elif w_zeros + r_zeros != 0:  # both zeros are equal
            beyond = _unequal(w, r)
        if w_zeros + r_zeros != 0:
            sign = _signs(w, r)
        _against_reference(compared, n, sums, ww, rr, differing, beyond, sign)
        flips, signed = np.int64(previous_signs), n
        if w_zeros + v_zeros != 0:
            flips, signed = _flips(w, v, w_bits, v_bits)
        _against_previous(stepped, n, sums, vv, flips, signed)
    else:
        kept = np.empty((2, n), w.dtype)
        m = compact(w, w, kept[0], kept[1])
        out[0] += n - m
        out[1] += squares(kept[0, :m])
        _finite_pairs(w, r, v, float_bits, atol, rtol, kept, compared, stepped)
    return (ww, w_zeros), differing


@inner
def mark_changed(w_bits, r_bits, differs):
    """Mark the entries whose bits differ from the reference, (entry) uint8."""
    for i in range(w_bits.size):
        differs[i] |= w_bits[i] != r_bits[i]
