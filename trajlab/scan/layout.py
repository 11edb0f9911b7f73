"""The tasks of a scan: which blocks of steps there are, and which task takes which of them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trajlab import sizes
from trajlab.runs.disk.rows import views
from trajlab.scan.block import Block, Kernel, Reduced
from trajlab.scan.block import reduce as reduce_block
from trajlab.scan.graph import Graph, Pass, call
from trajlab.scan.kernels.causes import UnitShape
from trajlab.scan.source import Source
from trajlab.scan.track import Track


class Layout:
    """The tasks of a scan: blocks of all tensors, several small ones to a task.

    Parameters
    ----------
    graph
        Gets the tasks.
    kernel
        The kernel.
    beside
        What beside the rows the blocks hold, see `Pass`.

    Attributes
    ----------
    blocks
        For each tensor the position of its blocks: number of the task, and position in it.
    """

    def __init__(self, graph: Graph, kernel: Kernel, beside: tuple[tuple[str, str], ...]):
        self.graph = graph
        self.kernel = kernel
        self.beside = beside
        self.blocks: list[list[tuple[int, int]]] = []
        self._folded: list[bool] = []
        self._groups: list[list[tuple[Any, Any, tuple]]] = []
        self._spans: dict[tuple[int, int], int] = {}
        self._room = 0

    def add(
        self, key: str, token: str, rows: Source, reference: Any, weights: Source | None, other: Source | None,
        other_reference: Any, indices: np.ndarray | None,
    ) -> None:  # fmt: skip
        """Lay out the blocks of one tensor.

        Parameters
        ----------
        key, token
            Name of the tensor, and what tells its rows apart from all others.
        rows, reference
            Its rows, and the one that all are compared with, as an argument.
        weights, other, other_reference
            Its weights, and the same tensor of another run with its reference.
        indices
            Positions of sampled entries.
        """
        spans = rows.blocks(self.kernel.block_bytes)
        shared = None
        if self.kernel.prepares and len(spans) > 1:
            ends = call(Block, call(Track, rows.ends(), None, reference))
            shared = self.graph.add(("shared", key), _prepare, self.kernel, ends)
        weights_at = None if weights is None else weights.positions(rows.step)
        other_at = None if other is None else other.positions(rows.step)
        positions = []
        for start, stop in spans:
            beside: list[Any] = [None, None]
            if weights is not None and weights_at is not None:
                beside[0] = weights.track_at(weights_at[start:stop], int(weights_at[start - 1]) if start else -1)
            if other is not None and other_at is not None:
                beside[1] = other.track_at(other_at[start:stop], reference=other_reference)
            track = rows.track(start, stop, reference)
            block = call(Block, track, *beside, indices, rows.step[start:stop], rows.shape, rows.epsilon)
            nbytes = (stop - start) * rows.size * rows.itemsize
            entry = (shared, block, (token, start, stop))
            if rows.block_steps:
                positions.append(self._position_of_span((start, stop), entry))
            else:
                positions.append(self._position(entry, nbytes))
        self.blocks.append(positions)
        self._folded.append(bool(positions) and self.kernel.folds(rows.size))

    def _position_of_span(self, span: tuple[int, int], entry: tuple[Any, Any, tuple]) -> tuple[int, int]:
        """Put the blocks of all tensors at the same steps into one task, so that no step is kept for other tensors."""
        if span not in self._spans:
            self._spans[span] = len(self._groups)
            self._groups.append([])
            self._room = 0
        number = self._spans[span]
        self._groups[number].append(entry)
        return number, len(self._groups[number]) - 1

    def _position(self, entry: tuple[Any, Any, tuple], nbytes: int) -> tuple[int, int]:
        """Put a block into the last task if there is room in it, else into a new one."""
        if not self._groups or nbytes > self._room or len(self._groups[-1]) == sizes.GROUP_BLOCKS:
            self._groups.append([])
            self._room = sizes.GROUP_BYTES
        self._room -= nbytes
        self._groups[-1].append(entry)
        return len(self._groups) - 1, len(self._groups[-1]) - 1

    def passes(self) -> list[Any]:
        """Add the task of each group of blocks, and return their results as arguments."""
        results: list[Any] = []
        for number, group in enumerate(self._groups):
            shared, blocks, over = zip(*group, strict=True)
            one_pass = Pass(reduce_blocks, (self.kernel,), over, self.beside)
            arguments: Any = list(shared)
            if self._spans and results:
                arguments = call(_after, arguments, results[-1])  # in the order of the steps, so that each is let go
            results.append(self.graph.add_pass(("blocks", number), one_pass, [arguments], list(blocks)))
        return results

    def folded(
        self, results: Sequence[Any], shapes: Sequence[UnitShape], samples: Sequence[np.ndarray | None]
    ) -> list[Any]:
        """Add tasks that take the blocks of each tensor that folds one by one; None for others.

        The last one returns the columns of all steps and the summary. No other task may need these blocks: dask then
        follows one tensor after the other, and few totals are in memory at once.
        """
        folded: list[Any] = []
        for number, (of_tensor, folds) in enumerate(zip(self.blocks, self._folded, strict=True)):
            so_far: Any = None
            for block, (group, position) in enumerate(of_tensor if folds else []):
                so_far = self.graph.add(("fold", number, block), _fold, self.kernel, so_far, results[group], position)
            closing = self.kernel, so_far, shapes[number], samples[number]
            folded.append(self.graph.add(("folded", number), _close, *closing) if folds else None)
        return folded

    def unfolded(self, results: Sequence[Any]) -> list[Any]:
        """Return the results that hold blocks of tensors that do not fold; None in the places of others."""
        tensors = zip(self.blocks, self._folded, strict=True)
        groups = {group for of_tensor, folds in tensors if not folds for group, _ in of_tensor}
        return [result if number in groups else None for number, result in enumerate(results)]


def reduce_blocks(
    kernels: Sequence[Kernel], shared: Sequence[Sequence[Any]], blocks: Sequence[Block]
) -> list[list[Reduced]]:
    """Run kernels over blocks, and return the results of each kernel for each block.

    Parameters
    ----------
    kernels
        The kernels.
    shared
        For each kernel and block the result of `prepare`; None where the block is the whole tensor, or nothing is
        prepared.
    blocks
        The blocks, not yet opened.
    """
    results = []
    for prepared, block in zip(zip(*shared, strict=True), _opened(blocks), strict=True):
        results.append(reduce_block(kernels, block, prepared))
    return [list(of_kernel) for of_kernel in zip(*results, strict=True)]


def _opened(blocks: Sequence[Block]) -> Iterator[Block]:
    """Open blocks one by one, after fetching all short rows behind URLs at once."""
    remote = [table for block in blocks for table in block.fetched_whole()]
    fetched = dict(zip(map(id, remote), views(remote), strict=True))
    return (block.opened(fetched) for block in blocks)


def _after(value: Any, earlier: Any) -> Any:
    """Return a value once an earlier task is done."""
    return value


def _prepare(kernel: Kernel, ends: Block) -> Any:
    """Return what the blocks of a tensor share."""
    (block,) = _opened([ends])
    return kernel.prepare(block)


def _fold(
    kernel: Kernel, earlier: tuple[list[np.ndarray], Any] | None, results: list[list[Reduced]], position: int
) -> tuple[list[np.ndarray], Any]:
    """Return the columns of the blocks so far, and their total."""
    columns, total = results[0][position]
    return ([columns], total) if earlier is None else ([*earlier[0], columns], kernel.merge(earlier[1], total))


def _close(
    kernel: Kernel, folded: tuple[list[np.ndarray], Any], shape: UnitShape, sample: np.ndarray | None
) -> Reduced:
    """Return the columns of all steps, and the summary."""
    columns, total = folded
    return np.concatenate(columns), kernel.summarize(total, shape, sample)
