"""Covariances of the products that the angle between successive gradients is made of, over samples of entries."""

from dataclasses import dataclass

import numpy as np

from trajlab.scan.block import Block, Kernel
from trajlab.scan.jit import jit
from trajlab.scan.kernels.sample_strata import add_products, strata_of, total_covariance, write_pairs

ANGLE_ERRORS = ("gq_gq", "gq_gg", "gq_qq", "gg_gg", "gg_qq", "qq_qq")
"""Columns: covariances of the estimated totals of products of the row g and the one before, q."""


@jit
def angle_covariances(q, g, order, bounds, scale, between, out):
    """Write `ANGLE_ERRORS` of two rows to `out`; see `Strata`."""
    sums = np.zeros((scale.size, 3))
    products = np.zeros((scale.size, 3, 3))
    entry = np.empty(3)
    for t in range(scale.size):
        for i in range(bounds[t], bounds[t + 1]):
            x = np.float64(q[order[i]])
            y = np.float64(g[order[i]])
            if np.isfinite(x) and np.isfinite(y):
                entry[0] = y * x
                entry[1] = y * y
                entry[2] = x * x
                for a in range(3):
                    sums[t, a] += entry[a]
                add_products(entry, products[t])
    covariance = np.empty((3, 3))
    total_covariance(sums, products, bounds, scale, between, covariance)
    write_pairs(covariance, out)


@dataclass(frozen=True)
class AngleErrors(Kernel):
    """Kernel: the columns `ANGLE_ERRORS` of each step; 0 where all entries were recorded, NaN at the first step."""

    columns = ANGLE_ERRORS

    def finish(self, block: Block, state: None) -> tuple[np.ndarray, None]:
        """Return the covariances of each step."""
        out = np.zeros((block.steps, len(ANGLE_ERRORS)))
        before = block.rows.row_before()
        if block.is_sample:
            strata = strata_of(block)
            previous = before
            for step, row in enumerate(block.rows.arrays()):
                if previous is not None:
                    angle_covariances(previous, row, *strata, out[step])
                previous = row
        if before is None:
            out[0] = np.nan
        return out, None
