"""Evenly spaced entries of each row."""

from dataclasses import dataclass

import numpy as np

from trajlab.scan.block import Block, Kernel


def raster_positions(size: int, entries: int) -> np.ndarray:
    """Return the positions of up to `entries` evenly spaced entries of a row, (entry).

    >>> raster_positions(7, 4)
    array([0, 2, 4, 6])
    """
    return np.unique(np.linspace(0, size - 1, min(entries, size)).astype(np.int64))


@dataclass(frozen=True)
class Raster(Kernel):
    """Kernel: up to `entries` evenly spaced entries of each row.

    Parameters
    ----------
    entries
        How many columns; those beyond the row's length are NaN.
    """

    entries: int

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(f"entry_{i}" for i in range(self.entries))

    def finish(self, block: Block, state: None) -> tuple[np.ndarray, None]:
        """Return the entries of each step."""
        positions = raster_positions(block.size, self.entries)
        out = np.full((block.steps, self.entries), np.nan)
        for step, row in enumerate(block.rows.arrays()):
            out[step, : len(positions)] = row[positions]
        return out, None
