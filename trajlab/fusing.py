"""Several stages in one pass: kernels that read the same block of steps are run on it together."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from dask.array.optimization import optimize
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from dask.task_spec import List, Task, TaskRef

from trajlab.blocks import reduce_block


def fuse_scans(graph: HighLevelGraph, keys: Sequence[Any], **kwargs: Any) -> dict:
    """Optimize a graph as dask does, then join the tasks of different kernels that read the same block.

    To be used as `dask.config.set(array_optimize=fuse_scans)` around one `dask.compute` of several results.
    """
    tasks = dict(optimize(graph, keys, **kwargs))
    groups: dict[str, list[_Shared]] = defaultdict(list)
    for key, task in tasks.items():
        if isinstance(task, Task) and task.func is reduce_block:
            _, _, *arguments = task.args
            of_block = groups[tokenize(arguments[0])]
            if not any(shared.join(key, arguments) for shared in of_block):
                of_block.append(_Shared(key, arguments))
    for shared in (shared for of_block in groups.values() for shared in of_block if len(shared.readers) > 1):
        joint = f"fused-{shared.readers[0]}"
        kernels = [kernel for key in shared.readers for kernel in tasks[key].args[0].args]
        known = [known for key in shared.readers for known in tasks[key].args[1].args]
        tasks[joint] = Task(joint, reduce_block, List(*kernels), List(*known), *shared.arguments)
        for position, key in enumerate(shared.readers):
            tasks[key] = Task(key, _pick, TaskRef(joint), position)
    return tasks


class _Shared:
    """Tasks that read the same block and do not contradict each other in what they need beside it."""

    def __init__(self, key: Any, arguments: Sequence[Any]):
        self.readers = [key]
        self.arguments = list(arguments)

    def join(self, key: Any, arguments: Sequence[Any]) -> bool:
        """Take in another task, unless both need something and not the same."""
        both = list(zip(self.arguments, arguments, strict=True))
        if any(a is not None and b is not None and tokenize(a) != tokenize(b) for a, b in both):
            return False
        self.arguments = [b if a is None else a for a, b in both]
        self.readers.append(key)
        return True


def _pick(found: list[tuple], position: int) -> list[tuple]:
    return [found[position]]
