"""Merge the passes of several stages over the same inputs: kernels over blocks of steps, observers over replays.

Importing this module makes it dask's default optimization of arrays, the hook that dask has for it: results that one
`dask.compute` takes share their passes. Graphs of other libraries stay as they are, and so does a user's own setting.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from typing import Any

import dask
from dask.array.optimization import optimize
from dask.highlevelgraph import HighLevelGraph
from dask.task_spec import List, Task, TaskRef

from trajlab.scan.graph import Pass


def fuse_scans(graph: HighLevelGraph, keys: Sequence[Any], **kwargs: Any) -> dict:
    """Optimize a graph as dask does, then merge passes over the same inputs.

    Parameters
    ----------
    graph, keys, kwargs
        What dask passes to the function that its setting `array_optimize` names.
    """
    tasks = dict(optimize(graph, keys, **kwargs))
    merged: dict[tuple, list[_Merged]] = defaultdict(list)
    for key, task in tasks.items():
        one_pass = task.func if isinstance(task, Task) else None
        if isinstance(one_pass, Pass):
            same_inputs = merged[one_pass.over]
            arguments, inputs = task.args
            if not any(passes.take(key, one_pass, arguments.args, inputs) for passes in same_inputs):
                same_inputs.append(_Merged(key, one_pass, arguments.args, inputs))
    for passes in chain.from_iterable(merged.values()):
        if len(passes.keys) > 1:
            tasks |= passes.tasks()
    return tasks


class _Merged:
    """Passes over the same rows; other inputs that share a name are the same array."""

    def __init__(self, key: Any, one_pass: Pass, arguments: Sequence[Any], inputs: Any):
        self.keys, self.arguments, self.inputs = [key], list(arguments), inputs
        self.function, self.over = one_pass.function, one_pass.over
        self.reducers, self.beside = list(one_pass.reducers), dict(one_pass.beside)

    def take(self, key: Any, one_pass: Pass, arguments: Sequence[Any], inputs: Any) -> bool:
        """Merge another pass and return True, or False if it needs another array under the name of an input."""
        beside = dict(one_pass.beside)
        if any(self.beside.get(name, token) != token for name, token in beside.items()):
            return False
        self.keys.append(key)
        self.arguments += arguments
        self.inputs = _filled(self.inputs, inputs)
        self.reducers += one_pass.reducers
        self.beside |= beside
        return True

    def tasks(self) -> dict[Any, Task]:
        """Return the merged pass, and a task that picks its part of the result in place of each pass."""
        key = f"fused-{self.keys[0]}"
        one_pass = Pass(self.function, tuple(self.reducers), self.over, tuple(self.beside.items()))
        picks = {reader: Task(reader, _pick, TaskRef(key), number) for number, reader in enumerate(self.keys)}
        return {key: Task(key, one_pass, List(*self.arguments), self.inputs)} | picks


def _filled(first: Any, second: Any) -> Any:
    """Return nested inputs, with those that the first lacks taken from the second."""
    if first is None or second is None:
        return second if first is None else first
    if isinstance(first, List):
        return List(*map(_filled, first.args, second.args))
    if isinstance(first, Task):
        return Task(None, first.func, *map(_filled, first.args, second.args))
    return first


def _pick(results: list[Any], number: int) -> list[Any]:
    return [results[number]]


dask.config.update_defaults({"array_optimize": fuse_scans})
