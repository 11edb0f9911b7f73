"""How a run is replayed with dask: one task a step passes the probe, and one a layer and step picks its output."""

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.task_spec import DataNode, List, Task, TaskRef

from trajlab.replaying.network import Network
from trajlab.snapshots.tensors import Life


def passes(
    name: str, network: Network, inputs: np.ndarray | da.Array, lives: Sequence[Life], steps: np.ndarray
) -> HighLevelGraph:
    """Lay out one task a step, that gives the outputs of all layers."""
    sources: list[Any] = []
    whole, batch = f"{name}-network", f"{name}-probe"
    graph: dict[Any, Any] = {whole: DataNode(whole, network)}
    if isinstance(inputs, da.Array):
        sources.append(inputs.rechunk(-1))
        probe = TaskRef((sources[0].name, *(0,) * inputs.ndim))
    else:
        graph[batch] = DataNode(batch, inputs)
        probe = TaskRef(batch)
    cuts = [_Cuts(life, steps, sources) for life in lives]
    for position in range(len(steps)):
        key = (name, position)
        tables, rows = zip(*(cut.at(position) for cut in cuts), strict=True) if cuts else ((), ())
        graph[key] = Task(key, Network.forward, TaskRef(whole), probe, List(*tables), List(*rows))
    return HighLevelGraph.from_collections(name, graph, dependencies=sources)


class _Cuts:
    """The life of one tensor, cut into what the task of each step is given."""

    def __init__(self, life: Life, steps: np.ndarray, sources: list[Any]):
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


def picked(
    run: HighLevelGraph, name: str, position: int, steps: int, shape: tuple[int, ...], dtype: np.dtype
) -> da.Array:
    """Give one layer's outputs as an array, a chunk a step."""
    own = f"{name}-{position}"
    keys = [(own, step, *(0,) * len(shape)) for step in range(steps)]
    tasks = {key: Task(key, _pick, TaskRef((name, step)), position) for step, key in enumerate(keys)}
    graph = HighLevelGraph({**run.layers, own: MaterializedLayer(tasks)}, {**run.dependencies, own: {name}})
    return da.Array(graph, own, ((1,) * steps, *((n,) for n in shape)), dtype=dtype)


def _pick(found: list[np.ndarray], position: int) -> np.ndarray:
    return found[position][None]
