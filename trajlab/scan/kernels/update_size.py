"""Size of the update from each row to the next, and the number of entries that moved."""

import math
from dataclasses import dataclass

import numpy as np

from trajlab.scan.block import Block, Kernel
from trajlab.scan.jit import inner, jit
from trajlab.scan.tiles import compact, squares, tile

UPDATES = ("valid", "change", "size", "apart")
"""Columns of `updates`: the entries finite in the row w and in the one before, v; over these Σ|w − v| and Σ|v|; and of
all entries those that `numpy.isclose(w, v)` tells apart."""


@inner
def _changes(w, v, out):
    change = 0.0
    size = 0.0
    for i in range(w.size):
        y = np.float64(v[i])
        change += abs(np.float64(w[i]) - y)
        size += abs(y)
    out[0] += w.size
    out[1] += change
    out[2] += size


@inner
def _apart(w, v, atol, rtol):
    apart = 0
    for i in range(w.size):
        y = np.float64(v[i])
        close = abs(np.float64(w[i]) - y) <= atol + rtol * abs(y)
        apart += not ((close & np.isfinite(y)) | (w[i] == v[i]))
    return apart


@jit
def updates(rows, previous, lo, hi, like, atol, rtol, out):
    """Add one tile of each row's difference from the row before it to `out`, (step, `UPDATES`)."""
    w_finite = np.empty(hi - lo, like.dtype)
    v_finite = np.empty(hi - lo, like.dtype)
    before = previous
    for s in range(rows.size):
        if before != 0:
            w = tile(rows[s], lo, hi, like)
            v = tile(before, lo, hi, like)
            out[s, 3] += _apart(w, v, atol, rtol)
            if not (math.isfinite(squares(w)) and math.isfinite(squares(v))):
                m = compact(w, v, w_finite, v_finite)
                w, v = w_finite[:m], v_finite[:m]
            _changes(w, v, out[s])
        before = rows[s]


@dataclass(frozen=True)
class Updates(Kernel):
    """Kernel: the columns `UPDATES` of each step; NaN at the first.

    Parameters
    ----------
    atol, rtol
        Tolerances within which an entry is as it was: |w − v| ≤ atol + rtol·|v|.
    """

    columns = UPDATES
    atol: float = 0.0
    rtol: float = 0.0

    def start(self, block: Block, shared: None) -> np.ndarray:
        """Return sums of zero."""
        return np.zeros((block.steps, len(UPDATES)))

    def add(self, block: Block, lo: int, hi: int, state: np.ndarray) -> None:
        """Add one tile."""
        updates(block.rows.addresses, block.rows.previous_address, lo, hi, block.rows.like, self.atol, self.rtol, state)

    def finish(self, block: Block, state: np.ndarray) -> tuple[np.ndarray, None]:
        """Return the sums."""
        if block.rows.previous is None:
            state[0] = np.nan
        return state, None
