"""Build dask graphs of few tasks; no other file but `trajlab.running.fuse` knows how dask represents a task.

A raw graph costs 0.06 ms a task, objects of `dask.delayed` several times that. All tasks run with BLAS on one thread.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.task_spec import DataNode, List, Task, TaskRef

from trajlab.threads import one_thread


@dataclass(frozen=True)
class Pass:
    """The function of a task that reads its inputs once, for several reducers.

    `trajlab.running.fuse` merges passes over the same inputs.

    Parameters
    ----------
    function
        ``function(reducers, own, inputs)`` returns a list: the result of each reducer.
    reducers
        Kernels or observers.
    over
        What tells the inputs apart from all others; only passes over the same are merged.
    beside
        Tokens of inputs that some reducers do without (None among the inputs), by name; passes that differ in one of
        them are not merged.
    """

    function: Callable[[Sequence[Any], Sequence[Any], Any], list[Any]]
    reducers: tuple[Any, ...]
    over: tuple
    beside: tuple[tuple[str, str], ...] = ()

    def __call__(self, arguments: Sequence[Any], inputs: Any) -> list[Any]:
        """Return the result of each reducer."""
        return _on_one_thread(self.function, self.reducers, arguments, inputs)


class PassTask(Task):
    """A task that dask does not merge with its neighbors, so that passes over the same inputs can be found."""

    @property
    def block_fusion(self) -> bool:
        """Return True: dask leaves the task as it is."""
        return True


class Graph:
    """A graph to which tasks are added one by one, and the arrays that they make.

    Arguments of tasks may be constants, results of other tasks, chunks of dask arrays, calls, and lists of these.

    Parameters
    ----------
    name
        Prefix of all keys. It must hold a token of everything that the tasks depend on.
    """

    def __init__(self, name: str):
        self.name = name
        self._tasks: dict[Any, Task] = {}
        self._constants: dict[str, DataNode] = {}
        self._sources: dict[str, da.Array] = {}
        self._below: HighLevelGraph | None = None

    def add(self, key: tuple, function: Callable, *arguments: Any) -> Any:
        """Add the task of calling a function, and return its result as an argument of further tasks.

        Parameters
        ----------
        key
            Label of the task, and numbers or names.
        function, arguments
            The call.
        """
        return self._added(key, Task, _on_one_thread, function, *arguments)

    def add_pass(self, key: tuple, one_pass: Pass, arguments: Sequence[Any], inputs: Any) -> Any:
        """Add a pass over inputs, and return its result as an argument of further tasks.

        Parameters
        ----------
        key
            Label of the task, and numbers or names.
        one_pass
            The pass.
        arguments
            One argument for each reducer.
        inputs
            What all reducers share: a list, or nested lists and calls.
        """
        return self._added(key, PassTask, one_pass, arguments, inputs)

    def constant(self, name: str, value: Any) -> Any:
        """Return a large constant as an argument; graphs that name it alike share it."""
        self._constants[name] = DataNode(name, value)
        self._below = None
        return TaskRef(name)

    def chunk(self, array: da.Array, *position: int) -> Any:
        """Return a chunk of an array as an argument; positions that are left out are 0."""
        if array.name not in self._sources:
            self._sources[array.name] = array
            self._below = None
        return TaskRef((array.name, *position, *(0,) * (array.ndim - len(position))))

    def whole(self, array: Any) -> Any:
        """Return all values of a dask or numpy array as an argument."""
        return self.chunk(array.rechunk(-1)) if isinstance(array, da.Array) else array

    def array(
        self, label: str, shape: Sequence[int], function: Callable, *arguments: Any, dtype: Any = np.float64
    ) -> da.Array:
        """Return the result of one more task as an array of one chunk."""
        return self._array(label, tuple((n,) for n in shape), [(function, *arguments)], dtype)

    def array_of_rows(
        self, label: str, shape: Sequence[int], function: Callable, arguments: Sequence[tuple], *, dtype: Any
    ) -> da.Array:
        """Return the results of one more task for each row as an array, chunked along its first axis."""
        chunks = ((1,) * len(arguments), *((n,) for n in shape))
        return self._array(label, chunks, [(function, *row) for row in arguments], dtype)

    def _array(self, label: str, chunks: tuple, calls: Sequence[tuple], dtype: Any) -> da.Array:
        name, tail = f"{self.name}-{label}", (0,) * (len(chunks) - 1)
        keys = [(name, number, *tail) if chunks else (name,) for number in range(len(calls))]
        tasks = {key: Task(key, _on_one_thread, *map(_argument, call)) for key, call in zip(keys, calls, strict=True)}
        below = self._all_below()
        graph = HighLevelGraph(
            {**below.layers, name: MaterializedLayer(tasks)}, {**below.dependencies, name: set(below.layers)}
        )
        return da.Array(graph, name, chunks, meta=np.empty((0,) * len(chunks), dtype))

    def _all_below(self) -> HighLevelGraph:
        """Return the graph of all tasks, and of what they read."""
        if self._below is None:
            constants = {name: MaterializedLayer({name: node}) for name, node in self._constants.items()}
            graphs = [source.dask for source in self._sources.values()]
            layers = constants | {name: layer for graph in graphs for name, layer in graph.layers.items()}
            needs = {name: needed for graph in graphs for name, needed in graph.dependencies.items()}
            self._below = HighLevelGraph(
                {**layers, self.name: MaterializedLayer(self._tasks)},
                {**dict.fromkeys(constants, set()), **needs, self.name: {*constants, *self._sources}},
            )
        return self._below

    def _added(self, key: tuple, kind: type[Task], function: Callable, *arguments: Any) -> TaskRef:
        key = (f"{self.name}-{key[0]}", *key[1:])
        self._tasks[key] = kind(key, function, *map(_argument, arguments))
        return TaskRef(key)


def call(function: Callable, *arguments: Any) -> Any:
    """Return an argument that a task makes of others when it runs."""
    return Task(None, function, *map(_argument, arguments))


def delayed(function: Callable) -> Callable[..., Delayed]:
    """Make calls of a pure function lazy, as `dask.delayed` does; BLAS runs on one thread."""
    return dask.delayed(partial(_on_one_thread, function), pure=True)


def map_blocks(function: Callable, *arrays: Any, **settings: Any) -> da.Array:
    """Apply a function to the chunks of arrays, as `dask.array.map_blocks` does; BLAS runs on one thread."""
    return da.map_blocks(partial(_on_one_thread, function), *arrays, **settings)


def _argument(value: Any) -> Any:
    return List(*map(_argument, value)) if isinstance(value, list) else value


def _on_one_thread(function: Callable, *arguments: Any, **settings: Any) -> Any:
    with one_thread():
        return function(*arguments, **settings)
