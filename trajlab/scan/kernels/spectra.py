"""Statistics of the singular values of a matrix at each step, those of its shuffled entries, and its subspaces."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from trajlab import sizes
from trajlab.runs.disk.rows import Rows
from trajlab.scan.block import Block, Kernel
from trajlab.scan.kernels.causes import UnitShape
from trajlab.scan.kernels.leading_values import Leading, estimated_effective_rank
from trajlab.scan.kernels.matrix_parts import squares
from trajlab.scan.kernels.power_law import FACTS, facts, leading_facts, rounding
from trajlab.scan.kernels.singular_values import EXACT_SIZE, LEADING, Decomposition, decompose
from trajlab.scan.kernels.subspaces import Subspaces, overlaps, subspace_size, subspaces
from trajlab.scan.track import flat_rows

ERRORS = ("singular_values_error", "effective_rank_error")
"""Columns: bound of the error of the singular values, and standard error of an estimated effective rank, else 0."""

OVERLAPS = ("row_overlap", "column_overlap", "row_overlap_start", "column_overlap_start")
"""Overlap of the subspaces with those of the step before, and of the first step."""


class Path(NamedTuple):
    """The subspaces of neighboring steps, and their overlaps as far as they are known.

    Attributes
    ----------
    overlaps
        `OVERLAPS` of each step from the first on, (step, overlap).
    start, last
        Subspaces of the first and the last of these steps.
    waiting
        Subspaces of steps whose predecessors are in another block.
    """

    overlaps: np.ndarray
    start: Subspaces | None
    last: Subspaces | None
    waiting: tuple[Subspaces | None, ...]

    def through(self, spaces: Iterable[Subspaces | None]) -> "Path":
        """Return the path continued by the subspaces of further steps."""
        rows, last = list(self.overlaps), self.last
        for now in spaces:
            rows.append(np.array([*overlaps(last, now), *overlaps(self.start, now)]))
            last = now
        return Path(np.array(rows).reshape(-1, len(OVERLAPS)), self.start, last, ())


@dataclass(frozen=True)
class Spectra(Kernel):
    """Kernel: `FACTS` of each matrix, those of its shuffled entries, and its singular values; `OVERLAPS` of all steps.

    A tensor of more than two dims is the matrix of its first dim by all others. It takes whole rows: there is nothing
    to add tile by tile.

    Parameters
    ----------
    width
        Singular values that are returned of each matrix.
    shuffle
        Whether to shuffle.
    exact_size, leading
        See `decompose`.
    subspace
        Dim of the subspaces, see `subspace_size`; 0 for none.
    steps
        Most steps of a matrix, for the summary, which holds `OVERLAPS` of each; 0 without subspaces.
    is_difference
        Whether rows are differences of those in the track of weights, whose rounding they have.
    """

    block_bytes = sizes.SVD_BLOCK_BYTES
    width: int
    shuffle: bool = True
    exact_size: int = EXACT_SIZE
    leading: int = LEADING
    subspace: int = 0
    steps: int = 0
    is_difference: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns; a matrix of fewer singular values ends in NaN."""
        null = tuple(f"{name}_null" for name in FACTS)
        return ("nonfinite", *FACTS, *null, *ERRORS, *(f"s{i}" for i in range(1, self.width + 1)))

    @property
    def summary(self) -> tuple[str, ...]:
        """Names of `OVERLAPS` at each step of a matrix, by its position."""
        return tuple(f"{name}_{step}" for step in range(self.steps) for name in OVERLAPS)

    def folds(self, size: int) -> bool:
        """Return that subspaces are merged one by one: those of a block are large."""
        return True

    def finish(self, block: Block, state: None) -> tuple[np.ndarray, Path]:
        """Decompose each matrix alone, so that its bits do not depend on how many share a block."""
        out = np.full((block.steps, len(self.columns)), np.nan)
        spaces: list[Subspaces | None] = []
        stored = _each_row(block.weights.rows) if self.is_difference and block.weights is not None else None
        for of_step, row in zip(out, _each_row(block.rows.rows), strict=True):
            norm = _norm(row) if stored is None else 2**0.5 * _norm(next(stored))
            of_step[0] = _nonfinite(row)
            spaces.append(self._fill(of_step, row, block, norm) if not of_step[0] and row.size else None)
        nothing = np.empty((0, len(OVERLAPS)))
        if block.rows.previous is not None:
            return out, Path(nothing, None, None, tuple(spaces))
        return out, Path(nothing, spaces[0], None, ()).through(spaces)

    def merge(self, earlier: Path, later: Path) -> Path:
        """Return the path of the earlier steps, continued by the later ones."""
        return earlier.through(later.waiting)

    def summarize(self, total: Path, shape: UnitShape, indices: np.ndarray | None) -> np.ndarray:
        """Return `OVERLAPS` of each step, NaN beyond the last."""
        out = np.full((self.steps, len(OVERLAPS)), np.nan)
        if self.steps:
            out[: len(total.overlaps)] = total.overlaps
        return out.ravel()

    def _fill(self, out: np.ndarray, row: np.ndarray, block: Block, norm: float) -> Subspaces | None:
        """Fill in all columns of a matrix but the first and the overlaps, and return its subspaces."""
        matrix = row.reshape(block.shape[0], -1)
        noise = rounding(norm, block.epsilon)
        of_matrix, null, tail = len(FACTS), 1 + 2 * len(FACTS), len(ERRORS)
        decomposition, error = self._facts(matrix, block, noise, out[1 : 1 + of_matrix])
        out[null : null + 2] = decomposition.error, error
        is_whole = min(matrix.shape) <= self.exact_size
        values = decomposition.values[: self.width if is_whole else min(self.width, self.leading)]
        out[null + tail : null + tail + len(values)] = values
        spaces = self._subspaces(matrix, decomposition) if self.subspace else None
        if self.shuffle:
            is_copy = isinstance(block.rows.rows, Rows) and row.flags.writeable  # widened for this step alone
            shuffled = row if is_copy else np.array(row)
            np.random.default_rng(0).shuffle(shuffled)
            self._facts(shuffled.reshape(matrix.shape), block, noise, out[1 + of_matrix : null])
        return spaces

    def _facts(self, matrix: np.ndarray, block: Block, noise: float, out: np.ndarray) -> tuple[Decomposition, float]:
        """Fill in `FACTS`; return the singular values, and the standard error of the effective rank."""
        decomposition = self._decompose(matrix, block)
        values = decomposition.values
        if min(matrix.shape) <= self.exact_size:
            facts(values, *matrix.shape, noise, out)
            return decomposition, 0.0
        if not len(values):
            return decomposition, np.nan
        leading_facts(values, max(squares(matrix) - float(values @ values), 0.0), *matrix.shape, noise, out)
        known = Leading(values, decomposition.vectors, decomposition.error)
        out[FACTS.index("effective_rank")], error = estimated_effective_rank(matrix, known)
        return decomposition, error

    def _decompose(self, matrix: np.ndarray, block: Block) -> Decomposition:
        rows, columns = matrix.shape
        vectors = subspace_size(rows, columns, self.subspace) if self.subspace else 0
        return decompose(
            matrix, epsilon=block.epsilon, exact_size=self.exact_size, leading=self.leading, vectors=vectors
        )

    def _subspaces(self, matrix: np.ndarray, decomposition: Decomposition) -> Subspaces | None:
        rows, columns = matrix.shape
        return subspaces(matrix, decomposition, subspace_size(rows, columns, self.subspace))


def _each_row(rows: Any) -> Iterator[np.ndarray]:
    """Iterate over rows as flat arrays, one in memory at a time."""
    for step in range(len(rows)):
        (row,) = flat_rows(rows[step : step + 1])
        yield row


def _nonfinite(row: np.ndarray) -> int:
    return sum(int(np.count_nonzero(~np.isfinite(part))) for part in _pieces(row))


def _norm(row: np.ndarray) -> float:
    """Return the norm of a row, also where squares leave the range of float64; NaN or Inf counts as 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = sum(float(part @ part) for part in (piece.astype(np.float64) for piece in _pieces(row)))
    if np.finfo(float).tiny < total < np.inf:
        return float(np.sqrt(total))
    largest = float(abs(row).max(initial=0.0))
    return largest * float(np.linalg.norm(row / largest)) if 0.0 < largest < np.inf else 0.0


def _pieces(row: np.ndarray) -> Iterator[np.ndarray]:
    return (row[lo : lo + (1 << 20)] for lo in range(0, row.size, 1 << 20))
