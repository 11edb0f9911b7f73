"""Each row against the row before it and against a reference row."""

import math
from dataclasses import dataclass

import numpy as np

from trajlab.kernels.block import Block, addresses
from trajlab.kernels.causes import CAUSES, causes, inert
from trajlab.kernels.tiles import compact, inner, jit, squares, tile

COMPARISON = ("valid", "l1", "l2", "linf", "ww", "rr", "changed", "beyond", "sign", "flips", "signed")
"""Columns of a comparison of two rows w and r over the entries finite in both: their number, Σ|w-r|, Σ(w-r)²,
max|w-r|, Σw², Σr², entries of other bits, entries with |w-r| > atol + rtol·|r|, entries of another sign (-1, 0, 1),
sign flips among the entries non-zero in both, and the number of those."""

PAIRS = (
    ("nonfinite", "squares")
    + tuple(f"reference_{name}" for name in COMPARISON)
    + tuple(f"previous_{name}" for name in COMPARISON)
)
"""Columns of `pairs`: entries of w that are not finite, Σw² of the finite ones, and both comparisons."""


@inner
def _differences(w, r, out):
    l1 = 0.0
    l2 = 0.0
    linf = np.int64(0)
    for i in range(w.size):
        d = np.float64(w[i]) - np.float64(r[i])
        a = np.float64(abs(d))
        l1 += a
        l2 += d * d
        linf = max(linf, a.view(np.int64))  # non-negative floats order like their bits
    out[0] += w.size
    out[1] += l1
    out[2] += l2
    out[3] = max(out[3], np.int64(linf).view(np.float64))


@inner
def _disagreements(w, r, w_bits, r_bits, atol, rtol, out):
    changed = 0
    for i in range(w.size):
        changed += w_bits[i] != r_bits[i]
    beyond = changed
    if atol != 0.0 or rtol != 0.0:
        beyond = 0
        for i in range(w.size):
            y = np.float64(r[i])
            beyond += abs(np.float64(w[i]) - y) > atol + rtol * abs(y)
    else:
        for i in range(w.size):
            beyond -= (w_bits[i] != r_bits[i]) & (w[i] == r[i])
    sign = 0
    for i in range(w.size):
        sign += ((w[i] > 0) != (r[i] > 0)) | ((w[i] < 0) != (r[i] < 0))
    out[6] += changed
    out[7] += beyond
    out[8] += sign


@inner
def _flips(w, r, w_bits, r_bits, out):
    flips = 0
    signed = 0
    for i in range(w.size):
        both = (w[i] != 0) & (r[i] != 0)
        flips += both & ((w_bits[i] ^ r_bits[i]) < 0)
        signed += both
    out[9] += flips
    out[10] += signed


@inner
def _compare(w, r, w_bits, r_bits, ww, rr, atol, rtol, detailed, out):
    _differences(w, r, out)
    out[4] += ww
    out[5] += rr
    if detailed:
        _disagreements(w, r, w_bits, r_bits, atol, rtol, out)
    else:
        _flips(w, r, w_bits, r_bits, out)


@jit
def pairs(rows, previous, reference, lo, hi, like, like_bits, atol, rtol, out, changed):
    """Compare each row with the row before it and with a reference.

    Parameters
    ----------
    rows
        Addresses of the rows, (step), uint64.
    previous
        Address of the row before the first, 0 if there is none.
    reference
        Address of the reference row.
    lo, hi
        The tile.
    like, like_bits
        Empty arrays of the rows' element type and of the signed integers of its size.
    atol, rtol
        Tolerances of `beyond`.
    out
        (step, `PAIRS`), added to.
    changed
        Whether an entry ever differed from the reference, (entry), uint8.
    """
    n = hi - lo
    w_finite = np.empty(n, like.dtype)
    r_finite = np.empty(n, like.dtype)
    r = tile(reference, lo, hi, like)
    r_bits = tile(reference, lo, hi, like_bits)
    rr = squares(r)
    before = previous
    vv = squares(tile(previous, lo, hi, like)) if previous != 0 else 0.0
    saturated = False
    for s in range(rows.size):
        w = tile(rows[s], lo, hi, like)
        w_bits = tile(rows[s], lo, hi, like_bits)
        ww = squares(w)
        if math.isfinite(ww):
            out[s, 1] += ww
        else:
            m = compact(w, w, w_finite, r_finite)
            out[s, 0] += n - m
            out[s, 1] += squares(w_finite[:m])
        seen = out[s, 8]
        if math.isfinite(ww) and math.isfinite(rr):
            _compare(w, r, w_bits, r_bits, ww, rr, atol, rtol, True, out[s, 2:13])
        else:
            m = compact(w, r, w_finite, r_finite)
            x, y = w_finite[:m], r_finite[:m]
            x_bits, y_bits = x.view(like_bits.dtype), y.view(like_bits.dtype)
            _compare(x, y, x_bits, y_bits, squares(x), squares(y), atol, rtol, True, out[s, 2:13])
        if not saturated:
            saturated = out[s, 8] - seen == n
            if saturated:
                changed[lo:hi] = 1
            else:
                for i in range(n):
                    changed[lo + i] |= w_bits[i] != r_bits[i]
        if before != 0:
            v = tile(before, lo, hi, like)
            if math.isfinite(ww) and math.isfinite(vv):
                v_bits = tile(before, lo, hi, like_bits)
                _compare(w, v, w_bits, v_bits, ww, vv, atol, rtol, False, out[s, 13:24])
            else:
                m = compact(w, v, w_finite, r_finite)
                x, y = w_finite[:m], r_finite[:m]
                x_bits, y_bits = x.view(like_bits.dtype), y.view(like_bits.dtype)
                _compare(x, y, x_bits, y_bits, squares(x), squares(y), atol, rtol, False, out[s, 13:24])
        before = rows[s]
        vv = ww


@dataclass(frozen=True)
class Pairs:
    """Kernel: the columns `PAIRS` of each step, and which entries never differed from the reference.

    Parameters
    ----------
    atol, rtol
        Tolerances of `beyond`.
    """

    columns = PAIRS
    summary = CAUSES
    atol: float = 0.0
    rtol: float = 0.0

    def start(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """Make the sums, and the entries that ever changed."""
        return np.zeros((block.steps, len(PAIRS))), np.zeros(block.size, np.uint8)

    def tile(self, block: Block, lo: int, hi: int, state: tuple[np.ndarray, np.ndarray]) -> None:
        """Add one tile."""
        out, changed = state
        pairs(
            block.addresses,
            block.previous_address,
            addresses([block.reference])[0],
            lo,
            hi,
            block.like,
            block.like_bits,
            self.atol,
            self.rtol,
            out,
            changed,
        )

    def finish(self, block: Block, state: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
        """Give the sums, and the packed entries that ever changed, None if all did."""
        out, changed = state
        if block.previous is None:
            out[0, 2 + len(COMPARISON) :] = np.nan
        return out, None if changed.all() else np.packbits(changed)

    def merge(self, earlier: np.ndarray | None, later: np.ndarray | None) -> np.ndarray | None:
        """Join entries that ever changed."""
        return None if earlier is None or later is None else earlier | later

    def summarize(self, whole: np.ndarray | None, shape: tuple[int, ...], indices: np.ndarray | None) -> np.ndarray:
        """Count the entries that never changed by cause."""
        return np.zeros(len(CAUSES)) if whole is None else causes(inert(whole, int(np.prod(shape))), shape)
