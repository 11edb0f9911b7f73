"""The distribution of the entries of each row, and how far it shifted: histogram, quantiles, KS, Wasserstein, JS, PSI.

Short rows are sorted, long ones counted in fixed bins. A long row is read once more if some of these are to be split,
or are cut by an edge of the histogram. No array is as long as a long row.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from trajlab import sizes
from trajlab.scan.block import Block, Kernel
from trajlab.scan.kernels.bars import add_pairs_to_bars, add_to_bars, bar_edges, bars_of_bins
from trajlab.scan.kernels.binned_distances import describe_bins
from trajlab.scan.kernels.causes import UnitShape
from trajlab.scan.kernels.chance import bridges
from trajlab.scan.kernels.histogram import KEYS
from trajlab.scan.kernels.sorted_distances import describe_sorted
from trajlab.scan.kernels.split_bins import Bins, Row, bins_of_counts
from trajlab.scan.kernels.tile_sums import add_tiles
from trajlab.scan.track import pieces_of, pieces_together

EXACT = sizes.SHORT_ENTRIES
"""Rows of up to this many entries are sorted, and their quantiles and distances are exact."""

SHIFTS = ("wasserstein", "ks", "js", "psi")
"""Distances of a row's spread from another's, in the order in which they are computed."""

CHANCE = tuple(f"chance_{name}" for name in SHIFTS)
"""Distances from the reference to be expected by chance, see `chance`."""

GROUPS = ("changed", "unchanged")
"""Groups of entries that `changed` counts apart: those whose bits differ from the reference, and those that do not."""


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


class Ends(NamedTuple):
    """What is needed of three rows of a tensor before others can be described.

    Parameters
    ----------
    range
        Least and greatest finite entry of the first and the last row.
    reference
        Counts of the reference by leading bits, (1, KEYS); (0, KEYS) if the reference is sorted.
    """

    range: np.ndarray
    reference: np.ndarray


class State(NamedTuple):
    """Counts of a block.

    Parameters
    ----------
    basis
        What all blocks share, or what it follows from, if the block is the only one.
    counts
        Entries of the row before and of each row by leading bits, (1 + step, KEYS); none if rows are sorted.
    """

    basis: Reference | Ends
    counts: np.ndarray


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
    changed
        Whether to add histograms of the entries whose bits differ from the reference, and of the others.
    """

    prepares = True
    takes_spans = True
    quantiles: tuple[float, ...]
    bins: int
    changed: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return (
            tuple(f"quantile_{i}" for i in range(len(self.quantiles)))
            + tuple(f"bar_{i}" for i in range(self.bins))
            + tuple(f"reference_{name}" for name in SHIFTS)
            + tuple(f"previous_{name}" for name in SHIFTS)
            + CHANCE
            + tuple(f"{group}_bar_{i}" for group in GROUPS if self.changed for i in range(self.bins))
        )

    @property
    def summary(self) -> tuple[str, ...]:
        """Names of the histogram's edges."""
        return tuple(f"edge_{i}" for i in range(self.bins + 1))

    def prepare(self, block: Block) -> Reference:
        """Return the edges of the histogram, and the reference."""
        ends, block = _nothing(block), block.of_bits()
        for lo, hi in block.spans():
            add_tiles(block.rows, lo, hi, ends=ends)
        return self._reference(block, ends)

    def start(self, block: Block, shared: Reference | None) -> State:
        """Make the counts of the row before and of the rows, unless rows will be sorted."""
        rows = 0 if block.size <= EXACT else block.steps + 1
        return State(_nothing(block) if shared is None else shared, np.zeros((rows, KEYS), np.uint32))

    def add(self, block: Block, lo: int, hi: int, state: State) -> None:
        """Count the entries of some tiles."""
        if parts := self.parts(state):
            add_tiles(block.rows, lo, hi, **parts)

    def parts(self, state: State) -> dict[str, Any]:
        """Return the counts, and the ends while the edges are unknown."""
        counts = {"bins": state.counts} if len(state.counts) else {}
        return counts | ({"ends": tuple(state.basis)} if isinstance(state.basis, Ends) else {})

    def finish(self, block: Block, state: State) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns of each step, and the edges of the histogram."""
        reference = state.basis
        if isinstance(reference, Ends):
            reference = self._reference(block, _with_reference(block, state, reference))
        out = np.empty((block.steps, len(self.columns)))
        described = out[:, : out.shape[1] - len(GROUPS) * self.bins] if self.changed else out
        if len(state.counts):
            self._describe_counted(block, reference, state.counts, described)
        else:
            self._describe_sorted(block, reference, described)
        if self.changed:
            self._count_changed(block, reference.edges, out[:, described.shape[1] :])
        return out, reference.edges

    def _reference(self, block: Block, ends: Ends) -> Reference:
        row = block.rows.reference
        if row is None:
            raise ValueError("a distribution is compared with a reference")
        low, high = ends.range.tolist()
        edges = bar_edges(low, high, self.bins, sorted_rows=block.size <= EXACT)
        if block.size <= EXACT:
            return Reference(np.sort(row), np.empty(0), edges)
        return Reference(*_counted(ends.reference[0], block, partial(pieces_of, row), edges), edges)

    def _describe_counted(self, block: Block, reference: Reference, counts: np.ndarray, out: np.ndarray) -> None:
        quantiles, edges = np.array(self.quantiles, np.float64), reference.edges
        previous = _counted(counts[0], block, partial(pieces_of, block.rows.previous), edges)
        for step in range(block.steps):
            row = _counted(counts[step + 1], block, partial(pieces_of, block.rows.row(step)), edges)
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

    def _count_changed(self, block: Block, edges: np.ndarray, out: np.ndarray) -> None:
        out[:] = 0.0
        bits = block.rows.like_bits.dtype
        for step, bars in enumerate(out.reshape(block.steps, len(GROUPS), self.bins)):
            for w, r in pieces_together(block.rows.row(step), block.rows.reference):
                add_pairs_to_bars(w, r, w.view(bits), r.view(bits), edges, *bars)

    def merge(self, earlier: np.ndarray, later: np.ndarray) -> np.ndarray:
        """Return the edges, which are the same for all blocks."""
        return earlier

    def summarize(self, total: np.ndarray, shape: UnitShape, indices: np.ndarray | None) -> np.ndarray:
        """Return the edges of the histogram."""
        return total


def _nothing(block: Block) -> Ends:
    return Ends(np.array([np.inf, -np.inf]), np.zeros((int(block.size > EXACT), KEYS), np.uint32))


def _with_reference(block: Block, state: State, ends: Ends) -> Ends:
    """Return the ends with the counts of the reference, taken from those of the rows if it is one of them."""
    (same,) = np.nonzero(block.rows.addresses == block.rows.reference_address)
    if not len(state.counts) or not len(same):
        return ends
    return ends._replace(reference=state.counts[1 + same[:1]])


def _counted(counts: np.ndarray, block: Block, row: Row, edges: np.ndarray) -> tuple[Bins, np.ndarray]:
    """Return the bins of a row and its bars from its counts by leading bits, which are zero afterwards.

    The row itself is read only if bins are to be split, or an edge of the bars cuts one.
    """
    bins = bins_of_counts(counts, block.rows.like.dtype, block.size, row)
    bars = np.empty(len(edges) - 1)
    if not bars_of_bins(bins, edges, bars):
        bars[:] = 0.0
        for piece in row():
            add_to_bars(piece, edges, bars)
    return bins, bars
