"""Covariances of the sums that moments are made of, over samples of entries."""

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from trajlab.scan.block import Block, Kernel
from trajlab.scan.jit import jit
from trajlab.scan.kernels.sample_strata import add_products, strata_of, total_covariance, write_pairs

MOMENT_VARIABLES = ("one", "deviation", "square", "size")
"""Of a finite entry x: 1, y = x − center, y², and |x|; 0 of all others."""

MOMENT_ERRORS = ("center", *("_".join(pair) for pair in combinations_with_replacement(MOMENT_VARIABLES, 2)))
"""Columns: the mean of the finite entries, and the covariances of the estimated totals of `MOMENT_VARIABLES`."""


@jit
def moment_covariances(x, order, bounds, scale, between, out):
    """Write `MOMENT_ERRORS` of a row to `out`; see `Strata`."""
    count = 0
    total = 0.0
    for i in range(x.size):
        if np.isfinite(x[i]):
            count += 1
            total += x[i]
    center = total / count if count else np.nan
    sums = np.zeros((scale.size, 4))
    products = np.zeros((scale.size, 4, 4))
    entry = np.ones(4)
    for t in range(scale.size):
        for i in range(bounds[t], bounds[t + 1]):
            value = np.float64(x[order[i]])
            if np.isfinite(value):
                entry[1] = value - center
                entry[2] = entry[1] * entry[1]
                entry[3] = abs(value)
                for a in range(4):
                    sums[t, a] += entry[a]
                add_products(entry, products[t])
    covariance = np.empty((4, 4))
    total_covariance(sums, products, bounds, scale, between, covariance)
    out[0] = center
    write_pairs(covariance, out[1:])


@dataclass(frozen=True)
class MomentErrors(Kernel):
    """Kernel: the columns `MOMENT_ERRORS` of each step; covariances of 0 where all entries were recorded."""

    columns = MOMENT_ERRORS

    def finish(self, block: Block, state: None) -> tuple[np.ndarray, None]:
        """Return the covariances of each step."""
        out = np.zeros((block.steps, len(MOMENT_ERRORS)))
        if not block.is_sample:
            return out, None
        strata = strata_of(block)
        for step, row in enumerate(block.rows.arrays()):
            moment_covariances(row, *strata, out[step])
        return out, None
