"""The tasks of a scan: which blocks of steps there are, and which task takes which of them."""

from functools import reduce
from typing import Any

import numpy as np
from dask.task_spec import List, Task, TaskRef

from trajlab import sizes
from trajlab.scan.block import Kernel
from trajlab.scan.blocks import Companion, Found, Source, prepare, reduce_blocks


class Layout:
    """The tasks of a scan: blocks of all tensors, small ones several to a task.

    Attributes
    ----------
    groups
        Blocks by the key of the task that reduces them.
    blocks
        Of each tensor the places of its blocks: number of the task, and place in it.
    """

    def __init__(self, name: str, kernel: Kernel):
        self.name = name
        self.kernel = kernel
        self.groups: dict[tuple, list[tuple[Any, List]]] = {}
        self.blocks: list[list[tuple[int, int]]] = []
        self._prepared: dict[tuple, Task] = {}
        self._room = 0

    def add(
        self, key: str, rows: Source, reference: Any, at: int, weights: Companion | None, other: Companion | None,
        indices: np.ndarray | None,
    ) -> None:  # fmt: skip
        """Lay out the blocks of one tensor."""
        spans = rows.blocks(self.kernel.block_bytes)
        opposite = None if other is None or at < 0 else other.cut(at, at + 1)[0]
        shared = None
        if self.kernel.prepares and len(spans) > 1:
            known = (f"{self.name}-shared", key)
            ends = rows.cut(0, 1), rows.cut(rows.steps - 1, rows.steps)
            self._prepared[known] = Task(known, prepare, self.kernel, *ends, reference)
            shared = TaskRef(known)
        places = []
        for start, stop in spans:
            recorded: tuple[Any, Any] = (None, None)
            before = None
            if weights is not None:
                recorded, (before, _) = weights.cut(start, stop), weights.cut(start - 1, start)
            others = (None, None) if other is None else other.cut(start, stop)
            block = List(
                rows.cut(start, stop), rows.cut(start - 1, start), reference, *recorded, before, *others, opposite,
                indices, rows.step[start:stop],
            )  # fmt: skip
            places.append(self._place(shared, block, (stop - start) * rows.size * rows.itemsize))
        self.blocks.append(places)

    def _place(self, shared: Any, block: List, size: int) -> tuple[int, int]:
        """Put a block into the last task if there is room in it, else into a new one."""
        last = (f"{self.name}-blocks", len(self.groups) - 1)
        if not self.groups or size > self._room or len(self.groups[last]) == sizes.GROUP_BLOCKS:
            last = (f"{self.name}-blocks", len(self.groups))
            self.groups[last] = []
            self._room = sizes.GROUP_BYTES
        self._room -= size
        self.groups[last].append((shared, block))
        return last[1], len(self.groups[last]) - 1

    def graph(self) -> dict[Any, Task]:
        """Give all tasks by key."""
        tasks = {
            key: Task(
                key, reduce_blocks, List(self.kernel), List(List(*(shared for shared, _ in group))),
                List(*(block for _, block in group)),
            )
            for key, group in self.groups.items()
        }  # fmt: skip
        return self._prepared | tasks

    def folds(self) -> tuple[dict[Any, Task], list[List]]:
        """Give tasks that join what is known of all steps as soon as a block is done, and each tensor's last one."""
        tasks, last = {}, []
        for number, of_tensor in enumerate(self.blocks):
            earlier = List()
            for block, (group, at) in enumerate(of_tensor):
                key = (f"{self.name}-folded", number, block)
                tasks[key] = Task(key, _fold, self.kernel, earlier, TaskRef((f"{self.name}-blocks", group)), at)
                earlier = List(TaskRef(key))
            last.append(earlier)
        return tasks, last


def _fold(kernel: Kernel, earlier: list[Any], found: list[list[Found]], at: int) -> Any:
    return reduce(kernel.merge, [*earlier, found[0][at][1]])
