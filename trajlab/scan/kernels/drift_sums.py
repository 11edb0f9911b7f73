"""Compare each row with the previous row and with a reference."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from trajlab import sizes
from trajlab.scan.block import Block, Kernel
from trajlab.scan.kernels.causes import CAUSES, UnitShape, bits_of, causes, compressed, either
from trajlab.scan.kernels.pair_sums import PAIRS, PREVIOUS
from trajlab.scan.kernels.tile_sums import add_tiles


@dataclass(frozen=True)
class Pairs(Kernel):
    """Kernel: the columns `PAIRS` of each step, and which entries never differed from the reference.

    Parameters
    ----------
    atol, rtol
        Tolerances of `beyond`.
    """

    takes_spans = True
    columns = PAIRS
    summary = CAUSES
    pooling = {"reference_linf": "max"}
    atol: float = 0.0
    rtol: float = 0.0

    def folds(self, size: int) -> bool:
        """Return whether the bits of the entries of a tensor are many."""
        return size > sizes.FOLD_ENTRIES

    def start(self, block: Block, shared: None) -> tuple[np.ndarray, np.ndarray]:
        """Return sums of zero, and bits of no changed entry."""
        return np.zeros((block.steps, len(PAIRS))), bits_of(block.size)

    def add(self, block: Block, lo: int, hi: int, state: tuple[np.ndarray, np.ndarray]) -> None:
        """Add some tiles."""
        add_tiles(block.rows, lo, hi, **self.parts(state))

    def parts(self, state: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
        """Return the sums of differences."""
        return {"pairs": (*state, self.atol, self.rtol)}

    def finish(self, block: Block, state: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the sums, and the entries that ever changed, as bits."""
        out, changed = state
        if block.rows.previous is None:
            out[0, PREVIOUS:] = np.nan
        return out, compressed(changed, block.size)

    def merge(self, earlier: np.ndarray | None, later: np.ndarray | None) -> np.ndarray | None:
        """Return the entries that ever changed."""
        return either(earlier, later)

    def summarize(self, total: np.ndarray | None, shape: UnitShape, indices: np.ndarray | None) -> np.ndarray:
        """Count the entries that never changed by cause."""
        return causes(total, shape, indices)
