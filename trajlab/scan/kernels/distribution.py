"""The distribution of the entries of each row, and how far it shifted: histogram, quantiles, KS, Wasserstein, JS, PSI.

Short rows are sorted, long ones counted in fixed bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trajlab import sizes
from trajlab.scan.block import Block, Kernel
from trajlab.scan.kernels.binned_distances import describe_binned
from trajlab.scan.kernels.histogram import EDGES, KEYS, bins_of, count_rows, finite_range, histogram_cuts
from trajlab.scan.kernels.sorted_distances import describe_sorted

EXACT = sizes.SHORT_ENTRIES
"""Rows of up to this many entries are sorted, and their quantiles and distances are exact."""

SHIFTS = ("wasserstein", "ks", "js", "psi")
"""Distances of a row's spread from another's, in the order in which they are computed."""

CHANCE = ("reference_count", "reference_scatter")
"""What the distances to be expected by chance are computed from: the reference's entries, and `scatter` of both."""


@dataclass(frozen=True)
class Distribution(Kernel):
    """Kernel: quantiles, a histogram, `SHIFTS` from the reference and from the row before, and what chance gives.

    The histogram spans the range of the first and the last row; see `histogram_cuts`.

    Parameters
    ----------
    quantiles
        Which quantiles.
    bins
        Number of bars of the histogram.
    """

    prepares = True
    quantiles: tuple[float, ...]
    bins: int

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return (
            tuple(f"quantile_{i}" for i in range(len(self.quantiles)))
            + tuple(f"bar_{i}" for i in range(self.bins))
            + tuple(f"reference_{name}" for name in SHIFTS)
            + tuple(f"previous_{name}" for name in SHIFTS)
            + CHANCE
        )

    @property
    def summary(self) -> tuple[str, ...]:
        """Names of the histogram's edges."""
        return tuple(f"edge_{i}" for i in range(self.bins + 1))

    def prepare(self, ends: Sequence[np.ndarray], reference: np.ndarray | None) -> tuple[np.ndarray, Any]:
        """Return where the histogram is cut, and the reference: sorted, or as the bins that it occupies."""
        ranges = np.array([finite_range(row) for row in ends])
        cuts = histogram_cuts(ranges[:, 0].min(), ranges[:, 1].max(), self.bins)
        if reference is None:
            raise ValueError("a spread is compared with a reference")
        return cuts, np.sort(reference) if reference.size <= EXACT else bins_of(reference)

    def start(self, block: Block, shared: tuple[np.ndarray, Any]) -> tuple[np.ndarray, Any, np.ndarray]:
        """Make the bins of the rows and of the row before, unless rows will be sorted."""
        rows = 0 if block.size <= EXACT else block.steps + 1
        return *shared, np.zeros((rows, KEYS), np.uint32)

    def add(self, block: Block, lo: int, hi: int, state: tuple[np.ndarray, Any, np.ndarray]) -> None:
        """Count the entries of one tile."""
        counts = state[2]
        if len(counts):
            count_rows(block.rows.addresses, lo, hi, block.rows.like, counts[1:])
            if block.rows.previous is not None:
                count_rows(np.array([block.rows.previous_address]), lo, hi, block.rows.like, counts[:1])

    def finish(self, block: Block, state: tuple[np.ndarray, Any, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns of each step, and the edges of the histogram."""
        cuts, reference, counts = state
        out = np.empty((block.steps, len(self.columns)))
        quantiles = np.array(self.quantiles, np.float64)
        if len(counts):
            describe_binned(counts[1:], counts[0], reference, quantiles, cuts, EDGES, out)
            return out, EDGES[cuts]
        previous = block.rows.previous
        previous = np.sort(previous if isinstance(previous, np.ndarray) else block.rows.like)
        at_once = max(1, sizes.SORT_ENTRIES // max(block.size, 1))
        for first in range(0, block.steps, at_once):
            rows = np.sort(block.rows.arrays()[first : first + at_once])
            describe_sorted(rows, previous, reference, quantiles, cuts, EDGES, out[first : first + at_once])
            previous = rows[-1]
        return out, EDGES[cuts]

    def merge(self, earlier: np.ndarray, later: np.ndarray) -> np.ndarray:
        """Return the edges, which are the same for all blocks."""
        return earlier

    def summarize(self, total: np.ndarray, shape: tuple[int, ...], indices: np.ndarray | None) -> np.ndarray:
        """Return the edges of the histogram."""
        return total
