"""Sums for the angle between successive gradients, and for its sampling error."""

import math
from dataclasses import dataclass

import numpy as np

from trajlab.scan.block import Block, Kernel
from trajlab.scan.jit import inner, jit
from trajlab.scan.tiles import compact, squares, tile

SUCCESSIVE = ("valid", "qq", "gg", "gq", "qqqq", "gggg", "ggqq", "gggq", "gqqq")
"""Columns of `successive` over the entries finite in the row g and in the one before, q: their number, and sums of
products. Those of four factors are zero where all entries were recorded."""


@inner
def _second(q, g, out):
    gq = 0.0
    for i in range(g.size):
        gq += np.float64(g[i]) * np.float64(q[i])
    out[0] += g.size
    out[1] += squares(q)
    out[2] += squares(g)
    out[3] += gq


@inner
def _fourth(q, g, out):
    qqqq = 0.0
    gggg = 0.0
    ggqq = 0.0
    gggq = 0.0
    gqqq = 0.0
    for i in range(g.size):
        x = np.float64(q[i])
        y = np.float64(g[i])
        xx = x * x
        yy = y * y
        xy = x * y
        qqqq += xx * xx
        gggg += yy * yy
        ggqq += xy * xy
        gggq += yy * xy
        gqqq += xx * xy
    out[4] += qqqq
    out[5] += gggg
    out[6] += ggqq
    out[7] += gggq
    out[8] += gqqq


@jit
def successive(rows, previous, lo, hi, like, sampled, out):
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
            if sampled:
                _fourth(q, g, out[s])
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
        sampled = block.indices is not None
        successive(block.rows.addresses, block.rows.previous_address, lo, hi, block.rows.like, sampled, state)

    def finish(self, block: Block, state: np.ndarray) -> tuple[np.ndarray, None]:
        """Return the sums."""
        if block.rows.previous is None:
            state[0] = np.nan
        return state, None
