"""Sums for the angle between successive gradients."""

import math
from dataclasses import dataclass

import numpy as np

from trajlab.scan.block import Block, Kernel
from trajlab.scan.jit import inner, jit
from trajlab.scan.tiles import compact, squares, tile

SUCCESSIVE = ("valid", "qq", "gg", "gq")
"""Columns of `successive` over the entries finite in the row g and in the one before, q: their number, and sums of
products."""


@inner
def _second(q, g, out):
    gq = 0.0
    for i in range(g.size):
        gq += np.float64(g[i]) * np.float64(q[i])
    out[0] += g.size
    out[1] += squares(q)
    out[2] += squares(g)
    out[3] += gq


@jit
def successive(rows, previous, lo, hi, like, out):
    """Add the products of one tile of each row with the row before it to `out`, (step, `SUCCESSIVE`)."""
    q_finite = np.empty(hi - lo, like.dtype)
    g_finite = np.empty(hi - lo, like.dtype)
    before = previous
    for s in range(rows.size):
        if before != 0:
            q = tile(before, lo, hi, like)
            g = tile(rows[s], lo, hi, like)
            if not (math.isfinite(squares(q)) and math.isfinite(squares(g))):
                m = compact(q, g, q_finite, g_finite)
                q, g = q_finite[:m], g_finite[:m]
            _second(q, g, out[s])
        before = rows[s]


@dataclass(frozen=True)
class Successive(Kernel):
    """Kernel: the columns `SUCCESSIVE` of each step; NaN at the first."""

    columns = SUCCESSIVE

    def start(self, block: Block, shared: None) -> np.ndarray:
        """Return sums of zero."""
        return np.zeros((block.steps, len(SUCCESSIVE)))

    def add(self, block: Block, lo: int, hi: int, state: np.ndarray) -> None:
        """Add one tile."""
        successive(block.rows.addresses, block.rows.previous_address, lo, hi, block.rows.like, state)

    def finish(self, block: Block, state: np.ndarray) -> tuple[np.ndarray, None]:
        """Return the sums."""
        if block.rows.previous is None:
            state[0] = np.nan
        return state, None
