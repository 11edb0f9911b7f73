"""Several stages in one pass: kernels that read the same blocks of steps are run on them together.

So are observers that look at the same snapshots put through the same network.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from dask.array.optimization import optimize
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from dask.task_spec import List, Task, TaskRef

from trajlab.replays.observers.observer import REPLAY
from trajlab.scan.blocks import Found, reduce_blocks


def fuse_scans(graph: HighLevelGraph, keys: Sequence[Any], **kwargs: Any) -> dict:
    """Optimize a graph as dask does, then join the tasks of different kernels that read the same blocks.

    To be used as `dask.config.set(array_optimize=fuse_scans)` around one `dask.compute` of several results.
    """
    tasks = dict(optimize(graph, keys, **kwargs))
    if any(str(name).startswith(REPLAY) for name in graph.layers):
        from trajlab.replays.tasks import fuse_passes

        tasks = fuse_passes(tasks)
    same_rows: dict[str, list[_Shared]] = defaultdict(list)
    for key, task in tasks.items():
        if isinstance(task, Task) and task.func is reduce_blocks:
            _, _, blocks = task.args
            shared_tasks = same_rows[tokenize([block.args[0] for block in blocks.args])]
            if not any(shared.join(key, blocks) for shared in shared_tasks):
                shared_tasks.append(_Shared(key, blocks))
    for shared in (shared for shared_tasks in same_rows.values() for shared in shared_tasks):
        if len(shared.readers) == 1:
            continue
        joint = f"fused-{shared.readers[0]}"
        kernels = [kernel for key in shared.readers for kernel in tasks[key].args[0].args]
        known = [known for key in shared.readers for known in tasks[key].args[1].args]
        blocks = List(*(List(*arguments) for arguments in shared.blocks))
        tasks[joint] = Task(joint, reduce_blocks, List(*kernels), List(*known), blocks)
        for position, key in enumerate(shared.readers):
            tasks[key] = Task(key, _pick, TaskRef(joint), position)
    return tasks


class _Shared:
    """Tasks that read the same blocks and do not contradict each other in what they need beside them."""

    def __init__(self, key: Any, blocks: List):
        self.readers = [key]
        self.blocks = [list(block.args) for block in blocks.args]

    def join(self, key: Any, blocks: List) -> bool:
        """Take in another task, unless both need something and not the same."""
        both = [list(zip(own, block.args, strict=True)) for own, block in zip(self.blocks, blocks.args, strict=True)]
        if any(a is not None and b is not None and tokenize(a) != tokenize(b) for block in both for a, b in block):
            return False
        self.blocks = [[b if a is None else a for a, b in block] for block in both]
        self.readers.append(key)
        return True


def _pick(found: list[list[Found]], position: int) -> list[list[Found]]:
    return [found[position]]
