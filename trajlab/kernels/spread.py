"""How the values of each row are spread, and how far that spread moved: histograms, quantiles, KS, Wasserstein.

Short rows are sorted, long ones counted in fixed bins.
"""

from dataclasses import dataclass

import numpy as np

from trajlab.kernels.bins import EDGES, KEYS, count_keys, describe_binned, histogram_cuts
from trajlab.kernels.block import Block, addresses
from trajlab.kernels.sorting import describe_sorted
from trajlab.kernels.tiles import TILE

EXACT = 2 * TILE
"""Rows of up to this many entries are sorted, and their quantiles and distances are exact."""

SORTED_AT_ONCE = 1 << 18
"""Entries that are copied and sorted together."""

SHIFTS = ("wasserstein", "ks", "js", "psi")
"""Distances of a row's spread from another's, in the order in which they are computed."""


@dataclass(frozen=True)
class Spread:
    """Kernel: quantiles, a histogram, and `SHIFTS` from the reference and from the row before.

    The histogram spans the range of the first and the last row; see `histogram_cuts`.

    Parameters
    ----------
    quantiles
        Which quantiles.
    bins
        Number of bars of the histogram.
    """

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
        )

    @property
    def summary(self) -> tuple[str, ...]:
        """Names of the histogram's edges."""
        return tuple(f"edge_{i}" for i in range(self.bins + 1))

    def start(self, block: Block) -> np.ndarray | None:
        """Make the bins of the rows, of the row before and of the reference, unless rows will be sorted."""
        return None if block.size <= EXACT else np.zeros((block.steps + 2, KEYS), np.uint32)

    def tile(self, block: Block, lo: int, hi: int, state: np.ndarray | None) -> None:
        """Count the entries of one tile."""
        if state is None:
            return
        count_keys(block.addresses, lo, hi, block.like, block.like_bits, state[2:])
        for position, other in enumerate((block.previous, block.reference)):
            if other is not None:
                count_keys(addresses([other]), lo, hi, block.like, block.like_bits, state[position : position + 1])

    def finish(self, block: Block, state: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Give the columns of each step, and the edges of the histogram."""
        out = np.empty((block.steps, len(self.columns)))
        quantiles, cuts = np.array(self.quantiles, np.float64), self._cuts(block)
        if state is not None:
            describe_binned(state[2:], state[:2], quantiles, cuts, EDGES, out)
        else:
            missing = np.full(block.size, np.nan, block.like.dtype)
            others = np.sort([missing if row is None else row for row in (block.previous, block.reference)])
            at_once = max(1, SORTED_AT_ONCE // max(block.size, 1))
            for first in range(0, block.steps, at_once):
                rows = np.sort(block.rows[first : first + at_once])
                describe_sorted(rows, others, quantiles, cuts, out[first : first + at_once])
                others[0] = rows[-1]
        return out, EDGES[cuts]

    def merge(self, earlier: np.ndarray, later: np.ndarray) -> np.ndarray:
        """Keep the edges, which are the same for all blocks."""
        return earlier

    def summarize(self, whole: np.ndarray, shape: tuple[int, ...], indices: np.ndarray | None) -> np.ndarray:
        """Give the edges of the histogram."""
        return whole

    def _cuts(self, block: Block) -> np.ndarray:
        ends = np.concatenate([row[np.isfinite(row)] for row in block.ends])
        low, high = (float(ends.min()), float(ends.max())) if ends.size else (np.nan, np.nan)
        return histogram_cuts(low, high, self.bins)
