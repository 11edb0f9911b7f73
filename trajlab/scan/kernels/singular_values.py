"""Singular values of each matrix, their statistics, and those of the same entries shuffled."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from trajlab import sizes
from trajlab.runs.disk.rows import Rows
from trajlab.scan.block import Block, Kernel
from trajlab.scan.kernels.power_law import FACTS, facts

SURE = 1e-3
"""Smallest singular value, in units of the largest, that the eigenvalues of the Gram matrix give to 9 digits."""


def singular_values(matrix: np.ndarray) -> np.ndarray:
    """Compute the singular values of a matrix, (rank), descending.

    They are the roots of the eigenvalues of the smaller Gram matrix, which takes a half to a fifth of the time of a
    singular value decomposition, where that loses nothing: a value s is off by about eps (s₁/s)² of itself, at most
    1e-9 while all are above `SURE` of the largest. All other matrices are decomposed.

    Parameters
    ----------
    matrix
        A finite matrix, (row, column), float64, C-contiguous: BLAS may round a copy of another alignment or order
        differently.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    with np.errstate(over="ignore", invalid="ignore"):
        gram = wide @ wide.T
    if np.isfinite(gram).all():
        values = np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0))
        if values[-1] > SURE * values[0]:
            return values
    return np.linalg.svd(wide, compute_uv=False)


@lru_cache(maxsize=8)
def _order(size: int) -> np.ndarray:
    """Return a fixed random order of entries."""
    return np.random.default_rng(0).permutation(size)


@dataclass(frozen=True)
class Spectra(Kernel):
    """Kernel: `FACTS` of each matrix, those of its shuffled entries, and its singular values.

    A tensor of more than two dims is the matrix of its first dim by all others. It takes whole rows: there is nothing
    to add tile by tile.

    Parameters
    ----------
    width
        Singular values that the largest matrix has.
    shuffle
        Whether to shuffle.
    """

    block_bytes = sizes.SVD_BLOCK_BYTES
    width: int
    shuffle: bool = True

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns; a matrix of fewer singular values ends in NaN."""
        null = tuple(f"{name}_null" for name in FACTS)
        return ("nonfinite", *FACTS, *null, *(f"s{i}" for i in range(1, self.width + 1)))

    def finish(self, block: Block, state: None) -> tuple[np.ndarray, None]:
        """Decompose each matrix alone, so that its bits do not depend on how many share a block."""
        out = np.full((block.steps, len(self.columns)), np.nan)
        rows = block.shape[0]
        columns = block.size // max(rows, 1)
        matrix = aligned(block.size)
        for step in range(block.steps):
            some = block.rows.rows[step : step + 1]
            matrix[:] = (some.views() if isinstance(some, Rows) else some)[0]
            out[step, 0] = np.count_nonzero(~np.isfinite(matrix))
            if out[step, 0] or block.size == 0:
                continue
            first = 1 + 2 * len(FACTS)
            values = singular_values(matrix.reshape(rows, columns))
            facts(values, rows, columns, block.epsilon, out[step, 1 : 1 + len(FACTS)])
            out[step, first : first + len(values)] = values
            if self.shuffle:
                matrix[:] = matrix[_order(block.size)]
                values = singular_values(matrix.reshape(rows, columns))
                facts(values, rows, columns, block.epsilon, out[step, 1 + len(FACTS) : first])
        return out, None


def aligned(size: int) -> np.ndarray:
    """Return an empty array of float64 that begins at a multiple of 64 bytes: BLAS rounds by alignment."""
    room = np.empty(size + 8)
    return room[(-room.ctypes.data % 64) // 8 :][:size]
