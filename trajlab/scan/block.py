"""What kernels work on: some consecutive steps of one tensor, with what these are compared with."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np

from trajlab import sizes
from trajlab.runs.disk.rows import Rows
from trajlab.scan.kernels.causes import UnitShape
from trajlab.scan.kernels.tile_sums import add_tiles
from trajlab.scan.track import Track


@dataclass(eq=False)
class Block:
    """Some consecutive steps of one tensor.

    Parameters
    ----------
    rows
        The tensor.
    weights
        For a tensor of gradients: its weights.
    other
        The same tensor of another run.
    indices
        Positions in the flat weights of the entries of a row, if only a sample of the gradient was recorded; the
        weights are arrays then.
    step
        Optimizer steps of the rows, (step).
    shape
        Shape of the whole tensor at one step.
    epsilon
        Spacing at 1 of the floats that the tensor was stored in; 0 if unknown.
    """

    rows: Track
    weights: Track | None = None
    other: Track | None = None
    indices: np.ndarray | None = field(default=None, repr=False)
    step: np.ndarray | None = field(default=None, repr=False)
    shape: tuple[int, ...] = ()
    epsilon: float = 0.0

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.rows.rows)

    @property
    def size(self) -> int:
        """Entries of a row."""
        rows = self.rows.rows
        return rows.size if isinstance(rows, Rows) else rows[0].size

    @property
    def is_sample(self) -> bool:
        """Whether the rows hold only some entries of the tensor."""
        return 0 < self.size < math.prod(self.shape)

    def tracks(self) -> list[Track]:
        """Return the tracks that there are."""
        return [track for track in (self.rows, self.weights, self.other) if track is not None]

    def fetched_whole(self) -> list[Rows]:
        """Return the tables behind URLs that are fetched whole, before `opened`; all others are read by tiles."""
        gathered = None if self.indices is None else self.weights
        return [rows for track in self.tracks() for rows in track.fetched_whole(whole=track is gathered)]

    def opened(self, fetched: Mapping[int, Any]) -> "Block":
        """Return the block as kernels take it, see `Track.opened`."""
        weights, other, sampled = self.weights, self.other, self.indices is not None
        return replace(
            self,
            rows=self.rows.opened(fetched),
            weights=None if weights is None else weights.opened(fetched, whole=sampled),
            other=None if other is None else other.opened(fetched),
        )

    def of_bits(self) -> "Block":
        """Return the block with rows of bfloat16 as they are stored, see `Track.of_bits`."""
        return replace(self, rows=self.rows.of_bits())

    def tiles(self) -> Iterator[tuple[int, int]]:
        """Iterate over the entries of all rows, tile by tile; addresses hold for one tile at a time."""
        return self._windows(sizes.TILE_ENTRIES)

    def spans(self) -> Iterator[tuple[int, int]]:
        """Iterate over the entries of all rows, some tiles at a time if there are few rows."""
        rows = sum(len(track.window.addresses) for track in self._tiled())
        return self._windows(sizes.TILE_ENTRIES * max(1, sizes.WINDOW_ENTRIES // (rows * sizes.TILE_ENTRIES)))

    def _windows(self, entries: int) -> Iterator[tuple[int, int]]:
        for window, *_ in zip(*(track.window.tiles(self.size, entries) for track in self._tiled()), strict=True):
            yield window

    def _tiled(self) -> list[Track]:
        return [track for track in self.tracks() if self.indices is None or track is not self.weights]


class Kernel:
    """A fold over blocks: plain settings, and the verbs start, add, finish and merge."""

    prepares: ClassVar[bool] = False
    """Whether the blocks of a tensor, if there are several, share the result of `prepare`."""

    takes_spans: ClassVar[bool] = False
    """Whether the kernel divides what it is given into tiles itself, if it has to."""

    pooling: ClassVar[Mapping[str, Literal["max", "min"]]] = {}
    """Columns pooled over parameters by their maximum or minimum; all others by their sum."""

    block_bytes: ClassVar[int | None] = None
    """Largest size of a block, for kernels that take long; by default as large as is fast."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the results of each step."""
        raise NotImplementedError

    @property
    def summary(self) -> tuple[str, ...]:
        """Names of the results of all steps together."""
        return ()

    def folds(self, size: int) -> bool:
        """Return whether totals over rows of a size are large: they are then merged one by one, and not kept."""
        return False

    def prepare(self, block: Block) -> Any:
        """Return what all blocks share, from a block of the first and the last row of the tensor."""

    def start(self, block: Block, shared: Any) -> Any:
        """Return the state to which tiles are added."""

    def add(self, block: Block, lo: int, hi: int, state: Any) -> None:
        """Add the entries `lo` to `hi` of all rows of the block: one tile, or several if the kernel `takes_spans`."""

    def parts(self, state: Any) -> dict[str, Any]:
        """Return the sums that `add_tiles` adds to, by its arguments; empty for kernels with a loop in `add`."""
        return {}

    def finish(self, block: Block, state: Any) -> tuple[np.ndarray, Any]:
        """Return `columns` of each step, (step, column) float64, and the total over the steps of the block."""
        raise NotImplementedError

    def merge(self, earlier: Any, later: Any) -> Any:
        """Return the total of two neighboring runs of blocks."""

    def summarize(self, total: Any, shape: UnitShape, indices: np.ndarray | None) -> np.ndarray:
        """Return `summary`, (summary) float64, of a tensor of a shape, from the total over all its steps."""
        return np.empty(0)


Reduced = tuple[np.ndarray, Any]
"""Columns of a kernel over a block, (step, column), and its total over the steps."""


def reduce(kernels: Sequence[Kernel], block: Block, shared: Sequence[Any] | None = None) -> list[Reduced]:
    """Run kernels over one block in a single pass: all kernels take each tile while it is in cache.

    `shared` holds the result of each kernel's `prepare`; None for kernels that prepare nothing, and where the block is
    the whole tensor.
    """
    shared = [None] * len(kernels) if shared is None else shared
    states = [kernel.start(block, prepared) for kernel, prepared in zip(kernels, shared, strict=True)]
    together: dict[str, Any] = {}
    alone = []
    for kernel, state in zip(kernels, states, strict=True):
        parts = kernel.parts(state)
        if parts and not parts.keys() & together.keys():
            together |= parts
        else:
            alone.append((kernel, state))
    tiled = block if alone else block.of_bits()
    for start, stop in tiled.spans():
        if together:
            add_tiles(tiled.rows, start, stop, **together)
        for kernel, state in alone:
            entries = stop - start if kernel.takes_spans else sizes.TILE_ENTRIES
            for lo in range(start, stop, entries):
                kernel.add(tiled, lo, min(lo + entries, stop), state)
    return [kernel.finish(tiled, state) for kernel, state in zip(kernels, states, strict=True)]
