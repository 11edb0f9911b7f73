"""What one task works on: some consecutive steps of one tensor, and what they are compared with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from trajlab.kernels.tiles import TILE


def computable(row: np.ndarray) -> np.ndarray:
    """Give a flat row as float32 or float64, the element types that kernels are compiled for.

    >>> computable(np.array([1, 2], np.int8)).dtype
    dtype('float64')
    """
    if row.dtype not in (np.float32, np.float64):
        row = row.astype(np.float32 if row.dtype.kind == "f" and row.dtype.itemsize < 4 else np.float64)
    return np.ascontiguousarray(row)


def addresses(rows: Sequence[np.ndarray | None]) -> np.ndarray:
    """Addresses of the first bytes of rows, (step) uint64; 0 where there is none."""
    pointers = [0 if row is None else row.__array_interface__["data"][0] for row in rows]
    return np.array(pointers, np.uint64)


@dataclass(eq=False)
class Block:
    """Some consecutive steps of one tensor.

    Parameters
    ----------
    rows
        The tensor at each step, flat.
    previous
        The row before the first, if there is one.
    reference
        The row that all are compared with, if any.
    weights
        For rows of gradients: the weights at the same steps, None where they were not recorded.
    weights_previous
        The weights at the step of `previous`.
    indices
        Positions in the flat weights of the entries of a row, if only a sample of the gradient was recorded.
    """

    rows: Sequence[np.ndarray]
    previous: np.ndarray | None = None
    reference: np.ndarray | None = None
    weights: Sequence[np.ndarray | None] | None = None
    weights_previous: np.ndarray | None = None
    indices: np.ndarray | None = field(default=None, repr=False)

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.rows)

    @property
    def size(self) -> int:
        """Number of entries of a row."""
        return self.rows[0].size

    @cached_property
    def addresses(self) -> np.ndarray:
        """Addresses of the rows, (step)."""
        return addresses(self.rows)

    @cached_property
    def previous_address(self) -> np.uint64:
        """Address of the row before the first, 0 if there is none."""
        return addresses([self.previous])[0]

    @cached_property
    def like(self) -> np.ndarray:
        """Empty array of the rows' element type."""
        return np.empty(0, self.rows[0].dtype)

    @cached_property
    def like_bits(self) -> np.ndarray:
        """Empty array of the signed integers as wide as the rows' elements."""
        return np.empty(0, np.int32 if self.rows[0].itemsize == 4 else np.int64)


class Kernel:
    """A reduction of blocks: plain settings, and the steps that `scan` takes.
    """

    prepares: ClassVar[bool] = False
    """Whether the blocks of a tensor share what `prepare` makes."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what is known of each step."""
        raise NotImplementedError

    @property
    def summary(self) -> tuple[str, ...]:
        """Names of what is known of all steps together."""
        return ()

    def prepare(self, ends: Sequence[np.ndarray], reference: np.ndarray | None) -> Any:
        """Make what all blocks share, from the first and the last row of the trajectory and the reference."""

    def start(self, block: Block, shared: Any) -> Any:
        """Make the state that tiles are added to."""

    def tile(self, block: Block, lo: int, hi: int, state: Any) -> None:
        """Add the entries `lo` to `hi` of all rows of the block."""

    def finish(self, block: Block, state: Any) -> tuple[np.ndarray, Any]:
        """Give `columns` of each step, (step, column) float64, and what is known of all steps together."""
        raise NotImplementedError

    def merge(self, earlier: Any, later: Any) -> Any:
        """Join what is known of all steps of two neighboring runs of blocks."""

    def summarize(self, whole: Any, shape: tuple[int, ...], indices: np.ndarray | None) -> np.ndarray:
        """Give `summary`, (summary) float64, of a tensor of a shape, from what is known of all its steps."""
        return np.empty(0)


def reduce(
    kernels: Sequence[Kernel], block: Block, shared: Sequence[Any] | None = None
) -> list[tuple[np.ndarray, Any]]:
    """Run kernels over one block in a single pass: each tile is given to all kernels while it is in cache.

    `shared` is what each kernel's `prepare` made, None for those that prepare nothing.
    """
    shared = [None] * len(kernels) if shared is None else shared
    states = [kernel.start(block, known) for kernel, known in zip(kernels, shared, strict=True)]
    for lo in range(0, block.size, TILE):
        for kernel, state in zip(kernels, states, strict=True):
            kernel.tile(block, lo, min(lo + TILE, block.size), state)
    return [kernel.finish(block, state) for kernel, state in zip(kernels, states, strict=True)]
