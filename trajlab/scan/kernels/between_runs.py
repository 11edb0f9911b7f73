"""Sums that compare each row with that of another run at the same step."""

import math
from dataclasses import dataclass

import numpy as np

from trajlab.scan.block import Block, Kernel
from trajlab.scan.jit import inner, jit
from trajlab.scan.tiles import squares, tile
from trajlab.scan.track import Track

ACROSS = ("nonfinite", "valid", "squares", "aa", "bb", "ab", "changed", "moved_valid", "uu", "vv", "uv")
"""Columns of `across` for rows a and b: entries that are not finite in either; over the others their number, Σ(a-b)²,
Σa², Σb², Σab, entries of other bits; and over the entries finite at the start too their number, Σu², Σv² and Σuv of
u = a - a_0 and v = b - b_0."""


@inner
def _compare(a, b, a_bits, b_bits, out):
    distance = 0.0
    ab = 0.0
    for i in range(a.size):
        d = np.float64(a[i]) - np.float64(b[i])
        distance += d * d
        ab += np.float64(a[i]) * np.float64(b[i])
    changed = 0
    for i in range(a.size):
        changed += a_bits[i] != b_bits[i]
    out[1] += a.size
    out[2] += distance
    out[3] += squares(a)
    out[4] += squares(b)
    out[5] += ab
    out[6] += changed


@inner
def _updates(a, b, a_0, b_0, out):
    uu = 0.0
    vv = 0.0
    uv = 0.0
    for i in range(a.size):
        u = np.float64(a[i]) - np.float64(a_0[i])
        v = np.float64(b[i]) - np.float64(b_0[i])
        uu += u * u
        vv += v * v
        uv += u * v
    out[7] += a.size
    out[8] += uu
    out[9] += vv
    out[10] += uv


@jit
def across(rows, others, start, other_start, lo, hi, like, like_bits, out):
    """Compare each row with that of another run, and the ways that both came since their starts.

    Parameters
    ----------
    rows, others
        Addresses of the rows of both runs, (step), uint64; 0 where the other has none.
    start, other_start
        Addresses of the rows at which both started.
    lo, hi
        The tile.
    like, like_bits
        Empty arrays of the rows' element type and of the signed integers of its size.
    out
        (step, `ACROSS`), added to.
    """
    n = hi - lo
    kept = np.empty((4, n), like.dtype)
    a_0 = tile(start, lo, hi, like)
    b_0 = tile(other_start, lo, hi, like)
    started = math.isfinite(squares(a_0)) and math.isfinite(squares(b_0))
    for s in range(rows.size):
        if others[s] == 0:
            continue
        a = tile(rows[s], lo, hi, like)
        b = tile(others[s], lo, hi, like)
        finite = math.isfinite(squares(a)) and math.isfinite(squares(b))
        if finite:
            _compare(a, b, tile(rows[s], lo, hi, like_bits), tile(others[s], lo, hi, like_bits), out[s])
        else:
            m = 0
            for i in range(n):
                if np.isfinite(a[i]) and np.isfinite(b[i]):
                    kept[0, m] = a[i]
                    kept[1, m] = b[i]
                    m += 1
            x, y = kept[0, :m], kept[1, :m]
            out[s, 0] += n - m
            _compare(x, y, x.view(like_bits.dtype), y.view(like_bits.dtype), out[s])
        if finite and started:
            _updates(a, b, a_0, b_0, out[s])
        else:
            m = 0
            for i in range(n):
                if np.isfinite(a[i]) and np.isfinite(b[i]) and np.isfinite(a_0[i]) and np.isfinite(b_0[i]):
                    kept[0, m] = a[i]
                    kept[1, m] = b[i]
                    kept[2, m] = a_0[i]
                    kept[3, m] = b_0[i]
                    m += 1
            _updates(kept[0, :m], kept[1, :m], kept[2, :m], kept[3, :m], out[s])


@dataclass(frozen=True)
class Across(Kernel):
    """Kernel: the columns `ACROSS` of each step; NaN where the other run has no row."""

    columns = ACROSS

    def start(self, block: Block, shared: None) -> np.ndarray:
        """Return sums of zero."""
        return np.zeros((block.steps, len(ACROSS)))

    def add(self, block: Block, lo: int, hi: int, state: np.ndarray) -> None:
        """Add one tile."""
        other = _other(block)
        starts = block.rows.reference_address, other.reference_address
        across(block.rows.addresses, other.addresses, *starts, lo, hi, block.rows.like, block.rows.like_bits, state)

    def finish(self, block: Block, state: np.ndarray) -> tuple[np.ndarray, None]:
        """Return the sums."""
        positions = _other(block).positions
        if positions is not None:
            state[positions < 0] = np.nan
        return state, None


def _other(block: Block) -> Track:
    if block.other is None:
        raise ValueError("cannot compare two runs: the block holds one; pass other= to scan")
    return block.other
