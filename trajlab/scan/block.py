"""What one task works on: some consecutive steps of one tensor, and what they are compared with."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from trajlab.runs.disk.rows import Rows
from trajlab.scan.window import Window


def computable(row: np.ndarray) -> np.ndarray:
    """Give a flat row as float32 or float64, the element types that kernels are compiled for.

    >>> computable(np.array([1, 2], np.int8)).dtype
    dtype('float64')
    """
    if row.dtype not in (np.float32, np.float64):
        row = row.astype(np.float32 if row.dtype.kind == "f" and row.dtype.itemsize < 4 else np.float64)
    return np.ascontiguousarray(row)


@dataclass(eq=False)
class Block:
    """Some consecutive steps of one tensor.

    Rows are flat arrays of float32 or float64, or tables of rows of which a tile at a time is read.

    Parameters
    ----------
    rows
        The tensor at each step.
    previous
        The row before the first, if there is one.
    reference
        The row that all are compared with, if any.
    weights
        For rows of gradients: their weights, at the steps at which these were recorded.
    places
        Place of each step's weights in `weights`, (step); -1 where they were not recorded.
    weights_previous
        The weights at the step of `previous`.
    other
        The same tensor of another run, at the steps at which it was recorded.
    other_places
        Place of each step's row in `other`, (step); -1 where it was not recorded.
    other_reference
        The row of the other run at the step of `reference`.
    indices
        Positions in the flat weights of the entries of a row, if only a sample of the gradient was recorded; weights
        are arrays then.
    step
        Optimizer steps of the rows, (step).
    shape
        Shape of the tensor at one step.
    """

    rows: Rows | Sequence[np.ndarray]
    previous: Rows | np.ndarray | None = None
    reference: Rows | np.ndarray | None = None
    weights: Rows | Sequence[np.ndarray] = ()
    places: np.ndarray | None = None
    weights_previous: Rows | np.ndarray | None = None
    other: Rows | Sequence[np.ndarray] = ()
    other_places: np.ndarray | None = None
    other_reference: Rows | np.ndarray | None = None
    indices: np.ndarray | None = field(default=None, repr=False)
    step: np.ndarray | None = field(default=None, repr=False)
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.steps = len(self.rows)
        self.size = self.rows.size if isinstance(self.rows, Rows) else self.rows[0].size
        self.like = _like(self.rows)
        self.bits: type[np.int32 | np.int64] = np.int32 if self.like.itemsize == 4 else np.int64
        self.like_bits = np.empty(0, self.bits)
        before = _group(self.weights_previous)
        self.like_weight = _like(self.weights if len(self.weights) else before)
        self._window = Window(_group(self.previous), _group(self.reference), self.rows)
        self._weights = Window([None], before, self.weights)
        self._places = self._from_second(self.places)
        self._other = Window([None], _group(self.other_reference), self.other)
        self._other_places = self._from_second(self.other_places)

    def _from_second(self, places: np.ndarray | None) -> np.ndarray:
        """Give places in rows as those in a window that begins with none and another row."""
        return np.zeros(self.steps, np.int64) if places is None else np.where(places >= 0, places + 2, 0)

    def tiles(self) -> Iterator[tuple[int, int]]:
        """Go over the entries of all rows, tile by tile; the addresses hold for one tile at a time."""
        windows = [self._window, self._other, *([self._weights] if self.indices is None else [])]
        for tile, *_ in zip(*(window.tiles(self.size) for window in windows), strict=True):
            yield tile

    @property
    def addresses(self) -> np.ndarray:
        """Addresses of the rows, (step)."""
        return self._window.addresses[2:]

    @property
    def previous_address(self) -> np.uint64:
        """Address of the row before the first, 0 if there is none."""
        return self._window.addresses[0]

    @property
    def reference_address(self) -> np.uint64:
        """Address of the reference, 0 if there is none."""
        return self._window.addresses[1]

    @property
    def weight_addresses(self) -> np.ndarray:
        """Addresses of the weights at each step, (step); 0 where they were not recorded."""
        return self._weights.addresses[self._places]

    @property
    def weight_previous_address(self) -> np.uint64:
        """Address of the weights at the step of `previous`, 0 if there are none."""
        return self._weights.addresses[1]

    @property
    def other_addresses(self) -> np.ndarray:
        """Addresses of the other run's rows at each step, (step); 0 where they were not recorded."""
        return self._other.addresses[self._other_places]

    @property
    def other_reference_address(self) -> np.uint64:
        """Address of the other run's row at the step of `reference`, 0 if there is none."""
        return self._other.addresses[1]

    def arrays(self) -> Sequence[np.ndarray]:
        """Give the whole rows, for kernels that need single entries or few."""
        return [computable(row) for row in self.rows.views()] if isinstance(self.rows, Rows) else self.rows


def _like(rows: Rows | Sequence[np.ndarray | None]) -> np.ndarray:
    """Give an empty array of the rows' element type, float32 if there is no row."""
    known = [rows] if isinstance(rows, Rows) else [row for row in rows if row is not None]
    return np.empty(0, known[0].dtype if known else np.float32)


def _group(row: Rows | np.ndarray | None) -> Rows | Sequence[np.ndarray | None]:
    return row if isinstance(row, Rows) else [row]


class Kernel:
    """A reduction of blocks: plain settings, and the steps that `scan` takes."""

    prepares: ClassVar[bool] = False
    """Whether the blocks of a tensor share what `prepare` makes."""

    folds: ClassVar[bool] = False
    """Whether what is known of all steps together is large, and so is joined block by block."""

    pooling: ClassVar[Mapping[str, Literal["max", "min"]]] = {}
    """Columns pooled over parameters by their maximum or minimum; all others by their sum."""

    block_bytes: ClassVar[int | None] = None
    """How many bytes a block holds at most where there is much to do with each; as many as is fast by default."""

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
    for lo, hi in block.tiles():
        for kernel, state in zip(kernels, states, strict=True):
            kernel.tile(block, lo, hi, state)
    return [kernel.finish(block, state) for kernel, state in zip(kernels, states, strict=True)]
