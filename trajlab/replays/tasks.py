"""How a run is replayed with dask: one task a step passes the probe, for one observer or, fused, for many."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from dask.task_spec import DataNode, List, Task, TaskRef

from trajlab.replays.forward import Request
from trajlab.replays.stateless import Network
from trajlab.runs.tensors import Series


class Apart(Task):
    """A task that dask does not fuse with those before and after it, so that `fuse_passes` finds it."""

    @property
    def block_fusion(self) -> bool:
        """Whether to leave it as it is."""
        return True


def watched(
    step: str, network: Network, probe: tuple[Any, Any], tables: Sequence[Any], rows: Sequence[int],
    requests: Sequence[Request],
) -> list[list[np.ndarray]]:  # fmt: skip
    """Pass the probe with the weights of a step, known by a name; give what each observer found."""
    inputs, targets = probe
    return network.watched(inputs, targets, tables, rows, requests)


def found_of(found: Sequence[list[np.ndarray]], position: int) -> list[np.ndarray]:
    """Give what one of the observers found."""
    return found[position]


class Passes(NamedTuple):
    """All passes of a probe, without an observer.

    Parameters
    ----------
    name
        What tells them apart from others.
    network, probe, lives, steps
        What they are made of: the network, inputs and targets, the tensors, and the optimizer steps. Inputs with a
        first axis over the steps are given as such by `stepwise`.
    stepwise
        Whether each step has inputs of its own.
    """

    name: str
    network: Network
    probe: tuple[Any, Any]
    lives: Sequence[Series]
    steps: np.ndarray
    stepwise: bool = False

    def graph(self, request: Request) -> tuple[str, HighLevelGraph]:
        """Lay out one task a step; give their name and the graph."""
        sources: list[Any] = []
        whole, name = f"{self.name}-network", f"{self.name}-{tokenize(request)}"
        nodes: dict[Any, Any] = {whole: DataNode(whole, self.network)}
        inputs = _Cut(f"{self.name}-inputs", self.probe[0], self.stepwise, sources, nodes)
        targets = _Cut(f"{self.name}-targets", self.probe[1], False, sources, nodes)
        cuts = [_Life(life, self.steps, sources) for life in self.lives]
        tasks: dict[Any, Any] = {}
        for position in range(len(self.steps)):
            key = (f"{name}-pass", position)
            tables, rows = zip(*(cut.at(position) for cut in cuts), strict=True) if cuts else ((), ())
            tasks[key] = Apart(
                key,
                watched,
                f"{self.name}-{position}",
                TaskRef(whole),
                List(inputs.at(position), targets.at(position)),
                List(*tables),
                List(*rows),
                List(request),
            )
            tasks[(name, position)] = Apart((name, position), found_of, TaskRef(key), 0)
        base = HighLevelGraph.from_collections(f"{self.name}-probe", nodes, dependencies=sources)
        layers, dependencies = {**base.layers, name: tasks}, {**base.dependencies, name: set(base.layers)}
        return name, HighLevelGraph(layers, dependencies)


class _Cut:
    """Inputs or targets, as the argument of the task of each step."""

    def __init__(self, name: str, values: Any, stepwise: bool, sources: list[Any], nodes: dict[Any, Any]):
        self.stepwise, self.name = stepwise, name
        self.values = values
        if isinstance(values, da.Array):
            chunks = {0: 1} if stepwise else {0: -1}
            self.values = values.rechunk(chunks | dict.fromkeys(range(1, values.ndim), -1))
            sources.append(self.values)
        elif values is not None and not stepwise:
            nodes[name] = DataNode(name, values)

    def at(self, position: int) -> Any:
        """Give what the task of a step is given."""
        if isinstance(self.values, da.Array):
            key = TaskRef((self.values.name, position if self.stepwise else 0, *(0,) * (self.values.ndim - 1)))
            return Task(None, np.squeeze, key, axis=0) if self.stepwise else key
        if self.values is None:
            return None
        return self.values[position] if self.stepwise else TaskRef(self.name)


class _Life:
    """The life of one tensor, cut into what the task of each step is given."""

    def __init__(self, life: Series, steps: np.ndarray, sources: list[Any]):
        self.values: Any = life.values
        self.place = np.searchsorted(life.steps, steps).tolist()
        if isinstance(self.values, da.Array):
            self.values = self.values.rechunk(dict.fromkeys(range(1, self.values.ndim), -1))
            self.starts = np.cumsum([0, *self.values.chunks[0]])
            sources.append(self.values)

    def at(self, position: int) -> tuple[Any, int]:
        """Give a table or an array, or a reference to one, and the row of it that holds a step."""
        row = self.place[position]
        if isinstance(self.values, da.Array):
            chunk = int(np.searchsorted(self.starts, row, "right")) - 1
            return TaskRef((self.values.name, chunk, *(0,) * (self.values.ndim - 1))), row - int(self.starts[chunk])
        return self.values[row : row + 1], 0


def fuse_passes(tasks: Mapping[Any, Any]) -> dict[Any, Any]:
    """Join the passes of one step that go through the same network with the same probe."""
    joined = dict(tasks)
    same: dict[str, list[Any]] = {}
    for key, task in tasks.items():
        if _calls(task, watched):
            same.setdefault(task.args[0], []).append(key)
    readers: dict[Any, tuple[Any, int]] = {}
    for keys in same.values():
        if len(keys) > 1:
            first = keys[0]
            step, network, probe, tables, rows, _ = tasks[first].args
            requests = [request for key in keys for request in tasks[key].args[5].args]
            joined[first] = Apart(first, watched, step, network, probe, tables, rows, List(*requests))
            readers |= {key: (first, position) for position, key in enumerate(keys)}
    for key, task in tasks.items():
        if _calls(task, found_of) and task.args[0].key in readers:
            source, position = readers[task.args[0].key]
            joined[key] = Apart(key, found_of, TaskRef(source), position)
    for key, (first, _) in readers.items():
        if key != first:
            del joined[key]
    return joined


def _calls(task: Any, function: Any) -> bool:
    return isinstance(task, Apart) and task.func is function
