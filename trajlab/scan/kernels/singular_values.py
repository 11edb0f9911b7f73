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


def singular_values(stack: np.ndarray) -> np.ndarray:
    """Compute the singular values of matrices, (matrix, rank), descending.

    They are the roots of the eigenvalues of the smaller Gram matrix, which takes a half to a fifth of the time of a
    singular value decomposition, where that loses nothing: a value s is off by about eps (s₁/s)² of itself, at most
    1e-9 while all are above `SURE` of the largest. All other matrices are decomposed.

    Parameters
    ----------
    stack
        Finite matrices, (matrix, row, column), float64.
    """
    wide = stack if stack.shape[1] <= stack.shape[2] else stack.swapaxes(1, 2)
    with np.errstate(over="ignore", invalid="ignore"):
        gram = wide @ wide.swapaxes(1, 2)
    gram[~np.isfinite(gram).all((1, 2))] = 0.0
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[:, ::-1], 0.0))
    unsure = ~(values[:, -1] > SURE * values[:, 0])
    values[unsure] = np.linalg.svd(wide[unsure], compute_uv=False)
    return values


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
        """Decompose the matrices, as many at once as make a stack."""
        out = np.full((block.steps, len(self.columns)), np.nan)
        rows = block.shape[0]
        columns = block.size // max(rows, 1)
        orders: list[np.ndarray | None] = [None]
        if self.shuffle:
            orders.append(_order(block.size))
        many = max(1, sizes.SVD_STACK_BYTES // max(8 * block.size, 1))
        for start in range(0, block.steps, many):
            some = block.rows.rows[start : start + many]
            stack = np.array(some.views() if isinstance(some, Rows) else some, np.float64)
            here = out[start : start + many]
            here[:, 0] = (~np.isfinite(stack)).sum(axis=1)
            known = here[:, 0] == 0
            if not known.any() or block.size == 0:
                continue
            stack = stack[known]
            for which, order in enumerate(orders):
                matrices = stack if order is None else stack[:, order]
                values = singular_values(matrices.reshape(-1, rows, columns))
                told = np.empty((len(values), len(FACTS)))
                for one, about in zip(values, told, strict=True):
                    facts(one, rows, columns, about)
                at = 1 + which * len(FACTS)
                here[known, at : at + len(FACTS)] = told
                if order is None:
                    first = 1 + 2 * len(FACTS)
                    here[known, first : first + values.shape[1]] = values
        return out, None
