"""Quantiles of the finite entries of each row: of short rows exact, of long ones from bins by leading bits."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from trajlab import sizes
from trajlab.scan.block import Block, Kernel
from trajlab.scan.jit import jit
from trajlab.scan.kernels.binned_distances import quantile_of_bins
from trajlab.scan.kernels.histogram import KEYS, count_rows
from trajlab.scan.kernels.split_bins import bins_of_counts
from trajlab.scan.track import pieces_of


@jit
def _of_bins(bins, quantiles, out):
    for k in range(quantiles.size):
        out[k] = quantile_of_bins(bins, quantiles[k])


@dataclass(frozen=True)
class Quantiles(Kernel):
    """Kernel: quantiles of the finite entries of each step, interpolated linearly; NaN where none is finite.

    Rows of more than `sizes.SHORT_ENTRIES` entries are counted in bins, and their quantiles off by at most 1/128 of the
    larger of the two order statistics next to them, by size.

    Parameters
    ----------
    quantiles
        Which quantiles, each from 0 to 1.
    """

    takes_spans = True
    quantiles: tuple[float, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(f"quantile_{i}" for i in range(len(self.quantiles)))

    def start(self, block: Block, shared: None) -> np.ndarray:
        """Return empty bins for each step; none for short rows."""
        return np.zeros((0 if block.size <= sizes.SHORT_ENTRIES else block.steps, KEYS), np.uint32)

    def add(self, block: Block, lo: int, hi: int, state: np.ndarray) -> None:
        """Count the entries of some tiles."""
        if len(state):
            count_rows(block.rows.addresses, lo, hi, block.rows.like, state)

    def finish(self, block: Block, state: np.ndarray) -> tuple[np.ndarray, None]:
        """Return the quantiles of each step."""
        out = np.full((block.steps, len(self.columns)), np.nan)
        quantiles = np.array(self.quantiles, np.float64)
        for step in range(block.steps):
            if len(state):
                bins = bins_of_counts(
                    state[step], block.rows.like.dtype, block.size, partial(pieces_of, block.rows.row(step))
                )
                _of_bins(bins, quantiles, out[step])
                continue
            row = block.rows.rows[step]
            finite = row[np.isfinite(row)]
            if finite.size:
                out[step] = np.quantile(finite.astype(np.float64), quantiles)
        return out, None
