"""Sums that compare each row with the previous row and with a reference."""

import math
from dataclasses import dataclass

import numpy as np

from trajlab import sizes
from trajlab.scan.block import Block, Kernel
from trajlab.scan.jit import inner, jit
from trajlab.scan.kernels.causes import CAUSES, UnitShape, bits_of, causes, compressed, either, set_bits
from trajlab.scan.tiles import compact, squares, tile

PAIRS = (
    "nonfinite", "squares",
    "reference_valid", "reference_l1", "reference_l2", "reference_linf", "reference_dot", "reference_ww",
    "reference_rr", "reference_changed", "reference_beyond", "reference_sign", "reference_changed_ww",
    "previous_valid", "previous_l2", "previous_rr", "previous_flips", "previous_signed",
)  # fmt: skip
"""Columns of `pairs`: entries of w that are not finite, Σw² of the finite ones; then, over the entries finite in w and
r, the reference row or the previous one: their number, Σ|w-r|, Σ(w-r)², max|w-r|, Σwr, Σw², Σr², entries of other
bits, entries with |w-r| > atol + rtol·|r|, entries of another sign (-1, 0, 1), Σw² of the entries of other bits, sign
flips among the entries non-zero in both, and the number of those."""

_REFERENCE = PAIRS.index("reference_valid")
_PREVIOUS = PAIRS.index("previous_valid")


@inner
def _sums(w, r, v):
    """Sum over w and its differences from r and v, and return the largest difference from r.

    Bits differ without a difference at zeros of unlike signs only, which add nothing to a sum of squares.
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
def _zeros(w):
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
    if changed == n:  # to the bit, as both sums round
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
def _pairs_of_tile(rows, previous, reference, lo, hi, like, like_bits, atol, rtol, out, changed):
    """Do what `pairs` does, for one tile."""
    n = hi - lo
    kept = np.empty((2, 0), like.dtype)
    differs = np.zeros(n, np.uint8)
    r = tile(reference, lo, hi, like)
    r_bits = tile(reference, lo, hi, like_bits)
    rr = squares(r)
    r_zeros = _zeros(r)
    before = reference if previous == 0 else previous
    vv = squares(tile(before, lo, hi, like))
    v_zeros = _zeros(tile(before, lo, hi, like))
    tolerant = atol != 0.0 or rtol != 0.0
    saturated = False
    for s in range(rows.size):
        w = tile(rows[s], lo, hi, like)
        w_bits = tile(rows[s], lo, hi, like_bits)
        v = tile(before, lo, hi, like)
        v_bits = tile(before, lo, hi, like_bits)
        compared = out[s, _REFERENCE:_PREVIOUS]
        stepped = out[s, _PREVIOUS:]
        ww = squares(w)
        sums = _sums(w, r, v)
        w_zeros, differing, reference_signs, previous_signs = _counts(w, w_bits, r_bits, v_bits)
        if math.isfinite(ww) and math.isfinite(rr) and math.isfinite(vv):
            out[s, 1] += ww
            beyond, sign = np.int64(differing), np.int64(reference_signs)
            if tolerant:
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
            if kept.size == 0:
                kept = np.empty((2, n), like.dtype)
            m = compact(w, w, kept[0], kept[1])
            out[s, 0] += n - m
            out[s, 1] += squares(kept[0, :m])
            _finite_pairs(w, r, v, like_bits, atol, rtol, kept, compared, stepped)
        if not saturated:
            saturated = differing == n
            if saturated:
                differs[:] = 1
            else:
                for i in range(n):
                    differs[i] |= w_bits[i] != r_bits[i]
        before = rows[s]
        vv = ww
        v_zeros = w_zeros
    set_bits(differs, lo, changed)


@jit
def pairs(rows, previous, reference, lo, hi, like, like_bits, atol, rtol, out, changed):
    """Compare each row with the row before it and with a reference, tile by tile.

    Parameters
    ----------
    rows
        Addresses of the rows, (step), uint64.
    previous
        Address of the row before the first, 0 if there is none.
    reference
        Address of the reference row.
    lo, hi
        The entries.
    like, like_bits
        Empty arrays of the rows' element type and of the signed integers of its size.
    atol, rtol
        Tolerances of `beyond`.
    out
        (step, `PAIRS`), added to.
    changed
        Bits of the entries that ever differed from the reference, added to; see `causes`.
    """
    for start in range(lo, hi, sizes.TILE_ENTRIES):
        stop = min(start + sizes.TILE_ENTRIES, hi)
        _pairs_of_tile(rows, previous, reference, start, stop, like, like_bits, atol, rtol, out, changed)


@dataclass(frozen=True)
class Pairs(Kernel):
    """Kernel: the columns `PAIRS` of each step, and which entries never differed from the reference.

    Parameters
    ----------
    atol, rtol
        Tolerances of `beyond`.
    """

    takes_spans = True
    columns = PAIRS
    summary = CAUSES
    pooling = {"reference_linf": "max"}
    atol: float = 0.0
    rtol: float = 0.0

    def folds(self, size: int) -> bool:
        """Return whether the bits of the entries of a tensor are many."""
        return size > sizes.FOLD_ENTRIES

    def start(self, block: Block, shared: None) -> tuple[np.ndarray, np.ndarray]:
        """Return sums of zero, and bits of no changed entry."""
        return np.zeros((block.steps, len(PAIRS))), bits_of(block.size)

    def add(self, block: Block, lo: int, hi: int, state: tuple[np.ndarray, np.ndarray]) -> None:
        """Add some tiles."""
        rows, previous, reference = block.rows.addresses, block.rows.previous_address, block.rows.reference_address
        pairs(rows, previous, reference, lo, hi, block.rows.like, block.rows.like_bits, self.atol, self.rtol, *state)

    def finish(self, block: Block, state: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the sums, and the entries that ever changed, as bits."""
        out, changed = state
        if block.rows.previous is None:
            out[0, _PREVIOUS:] = np.nan
        return out, compressed(changed, block.size)

    def merge(self, earlier: np.ndarray | None, later: np.ndarray | None) -> np.ndarray | None:
        """Return the entries that ever changed."""
        return either(earlier, later)

    def summarize(self, total: np.ndarray | None, shape: UnitShape, indices: np.ndarray | None) -> np.ndarray:
        """Count the entries that never changed by cause."""
        return causes(total, shape, indices)
