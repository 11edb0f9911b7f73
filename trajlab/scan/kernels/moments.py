"""Moments, extremes and zeros of each row."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from trajlab.scan.block import Block, Kernel
from trajlab.scan.kernels.power_sums import MOMENTS
from trajlab.scan.kernels.tile_sums import add_tiles


@dataclass(frozen=True)
class Moments(Kernel):
    """Kernel: the columns `MOMENTS` of each step."""

    takes_spans = True
    columns = MOMENTS
    pooling = {"min": "min", "max": "max"}

    def start(self, block: Block, shared: None) -> np.ndarray:
        """Return sums of 0."""
        out = np.zeros((block.steps, len(MOMENTS)))
        out[:, MOMENTS.index("min")] = np.inf
        out[:, MOMENTS.index("max")] = -np.inf
        return out

    def add(self, block: Block, lo: int, hi: int, state: np.ndarray) -> None:
        """Add some tiles."""
        add_tiles(block.rows, lo, hi, **self.parts(state))

    def parts(self, state: np.ndarray) -> dict[str, Any]:
        """Return the sums of powers."""
        return {"moments": state}

    def finish(self, block: Block, state: np.ndarray) -> tuple[np.ndarray, None]:
        """Return the sums; extremes of no entry are NaN."""
        empty = state[:, 0] == 0
        state[empty, MOMENTS.index("min")] = np.nan
        state[empty, MOMENTS.index("max")] = np.nan
        return state, None
