"""The distribution of the entries of each row, and how far it shifted: histogram, quantiles, KS, Wasserstein, JS, PSI.

Short rows are sorted, long ones counted in fixed bins. A long row is read once more if some of these are to be split,
or are cut by an edge of the histogram.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from trajlab import sizes
from trajlab.runs.disk.rows import Rows
from trajlab.scan.block import Block, Kernel
from trajlab.scan.kernels.bars import bar_edges, bars_of_bins, bars_of_row
from trajlab.scan.kernels.binned_distances import describe_bins
from trajlab.scan.kernels.causes import UnitShape
from trajlab.scan.kernels.chance import bridges
from trajlab.scan.kernels.histogram import KEYS, count_rows, counts_of, finite_range
from trajlab.scan.kernels.sorted_distances import describe_sorted
from trajlab.scan.kernels.split_bins import Bins, bins_of_counts
from trajlab.scan.track import flat_rows

EXACT = sizes.SHORT_ENTRIES
"""Rows of up to this many entries are sorted, and their quantiles and distances are exact."""

SHIFTS = ("wasserstein", "ks", "js", "psi")
"""Distances of a row's spread from another's, in the order in which they are computed."""

CHANCE = tuple(f"chance_{name}" for name in SHIFTS)
"""Distances from the reference to be expected by chance, see `chance`."""


class Reference(NamedTuple):
    """What the rows of a tensor are compared with.

    Parameters
    ----------
    values
        The reference: sorted, or as bins.
    bars
        Its histogram, (bar); none if it is sorted.
    edges
        Edges of the bars, (bar + 1).
    """

    values: np.ndarray | Bins
    bars: np.ndarray
    edges: np.ndarray


@dataclass(frozen=True)
class Distribution(Kernel):
    """Kernel: quantiles, a histogram, `SHIFTS` from the reference and from the row before, and what chance gives.

    The histogram spans the range of the first and the last row; see `bar_edges`.

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

    def prepare(self, ends: Sequence[np.ndarray], reference: np.ndarray | None) -> Reference:
        """Return the edges of the histogram, and the reference."""
        if reference is None:
            raise ValueError("a spread is compared with a reference")
        is_sorted = reference.size <= EXACT
        ranges = np.array([finite_range(row) for row in ends])
        edges = bar_edges(ranges[:, 0].min(), ranges[:, 1].max(), self.bins, sorted_rows=is_sorted)
        if is_sorted:
            return Reference(np.sort(reference), np.empty(0), edges)
        return Reference(*_counted(counts_of(reference), lambda: reference, reference.dtype, edges), edges)

    def start(self, block: Block, shared: Reference) -> tuple[Reference, np.ndarray]:
        """Make the bins of the row before and of the rows, unless rows will be sorted."""
        rows = 0 if block.size <= EXACT else block.steps + 1
        return shared, np.zeros((rows, KEYS), np.uint32)

    def add(self, block: Block, lo: int, hi: int, state: tuple[Reference, np.ndarray]) -> None:
        """Count the entries of one tile."""
        counts = state[1]
        if len(counts):
            count_rows(block.rows.addresses, lo, hi, block.rows.like, counts[1:])
            if block.rows.previous is not None:
                count_rows(np.array([block.rows.previous_address]), lo, hi, block.rows.like, counts[:1])

    def finish(self, block: Block, state: tuple[Reference, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns of each step, and the edges of the histogram."""
        reference, counts = state
        out = np.empty((block.steps, len(self.columns)))
        if len(counts):
            self._describe_counted(block, reference, counts, out)
        else:
            self._describe_sorted(block, reference, out)
        return out, reference.edges

    def _describe_counted(self, block: Block, reference: Reference, counts: np.ndarray, out: np.ndarray) -> None:
        dtype, quantiles = block.rows.like.dtype, np.array(self.quantiles, np.float64)
        previous = _counted(counts[0], partial(_row, block.rows.previous), dtype, reference.edges)
        for step in range(block.steps):
            row = _counted(counts[step + 1], partial(_row, block.rows.rows, step), dtype, reference.edges)
            values, bars = zip(row, previous, (reference.values, reference.bars), strict=True)
            describe_bins(*values, *bars, quantiles, bridges(), out[step])
            previous = row

    def _describe_sorted(self, block: Block, reference: Reference, out: np.ndarray) -> None:
        previous = block.rows.previous
        previous = np.sort(previous if isinstance(previous, np.ndarray) else block.rows.like)
        quantiles = np.array(self.quantiles, np.float64)
        at_once = max(1, sizes.SORT_ENTRIES // max(block.size, 1))
        for first in range(0, block.steps, at_once):
            rows = np.sort(block.rows.arrays()[first : first + at_once])
            part = out[first : first + at_once]
            describe_sorted(rows, previous, reference.values, quantiles, reference.edges, bridges(), part)
            previous = rows[-1]

    def merge(self, earlier: np.ndarray, later: np.ndarray) -> np.ndarray:
        """Return the edges, which are the same for all blocks."""
        return earlier

    def summarize(self, total: np.ndarray, shape: UnitShape, indices: np.ndarray | None) -> np.ndarray:
        """Return the edges of the histogram."""
        return total


def _row(rows: Any, step: int = 0) -> np.ndarray:
    """Return one row as a flat array."""
    if isinstance(rows, Rows):
        return flat_rows(rows[step : step + 1])[0]
    return rows if isinstance(rows, np.ndarray) else rows[step]


def _counted(
    counts: np.ndarray, row: Callable[[], np.ndarray], dtype: np.dtype, edges: np.ndarray
) -> tuple[Bins, np.ndarray]:
    """Return the bins of a row and its bars from its counts by leading bits, which are zero afterwards.

    The row itself is asked for only if bins are to be split, or an edge of the bars cuts one.
    """
    bins = bins_of_counts(counts, dtype, row)
    bars = np.empty(len(edges) - 1)
    if not bars_of_bins(bins, edges, bars):
        bars_of_row(row(), edges, bars)
    return bins, bars
