"""How a run is replayed with dask: one task a step passes the probe through the network, for one observer or many."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from dask.base import tokenize

from trajlab.replays.forward import Request
from trajlab.replays.stateless import Network
from trajlab.runs.tensors import Series
from trajlab.scan.graph import Graph, Pass


def observed(
    rows: Sequence[int], stepwise: bool, requests: Sequence[Request], states: Sequence[None], inputs: Sequence[Any]
) -> list[list[np.ndarray]]:
    """Pass the probe through the network with the weights of a step, and return the outputs of each observer.

    Parameters
    ----------
    rows
        Row of each table that holds the step.
    stepwise
        Whether the samples are those of the step, as the only row of an array.
    requests
        Observers, and the layers that they observe.
    states
        Nothing.
    inputs
        The network, the samples, their targets, and the tables of its tensors.
    """
    network, samples, targets, tables = inputs
    return network.watched(samples[0] if stepwise else samples, targets, tables, rows, requests)


class Passes(NamedTuple):
    """All passes of a probe, without an observer.

    Parameters
    ----------
    name
        What tells them apart from others.
    network, probe, lives, steps
        The network, inputs and targets, the tensors, and the optimizer steps.
    stepwise
        Whether each step has inputs of its own, along their first axis.
    """

    name: str
    network: Network
    probe: tuple[Any, Any]
    lives: Sequence[Series]
    steps: np.ndarray
    stepwise: bool = False

    def graph(self, request: Request) -> tuple[Graph, list[Any]]:
        """Lay out a pass for each step, and return the graph and the results of the passes."""
        graph = Graph(f"{self.name}-{tokenize(request)}")
        network = graph.constant(f"{self.name}-network", self.network)
        samples, targets = self.probe
        if self.stepwise and isinstance(samples, da.Array):
            samples = samples.rechunk({0: 1} | dict.fromkeys(range(1, samples.ndim), -1))
        elif not self.stepwise:
            samples = self._whole(graph, "inputs", samples)
        targets = None if targets is None else self._whole(graph, "targets", targets)
        tables = [_Table(series, self.steps, graph) for series in self.lives]
        results = []
        for number in range(len(self.steps)):
            batch = samples
            if self.stepwise:
                is_lazy = isinstance(samples, da.Array)
                batch = graph.chunk(samples, number) if is_lazy else samples[number : number + 1]
            rows = tuple(table.row(number) for table in tables)
            one_pass = Pass(partial(observed, rows, self.stepwise), (request,), (self.name, number))
            inputs = [network, batch, targets, [table.argument(number) for table in tables]]
            results.append(graph.add_pass(("pass", number), one_pass, [None], inputs))
        return graph, results

    def asking(self, attention: Collection[str]) -> "Passes":
        """Return passes in which more modules write down the attention of each head, under a name of their own.

        Modules that do so may compute in another order, and their last bits differ.
        """
        paths = tuple(sorted({*self.network.attention, *attention}))
        if paths == self.network.attention:
            return self
        network = replace(self.network, attention=paths)
        return self._replace(name=f"replay-{tokenize(self.name, paths)}", network=network)

    def _whole(self, graph: Graph, label: str, values: Any) -> Any:
        """Return inputs or targets that all steps share as an argument."""
        if isinstance(values, da.Array):
            return graph.whole(values)
        return graph.constant(f"{self.name}-{label}", values)


class _Table:
    """A tensor over training; the task of each step gets the table or chunk that holds its row."""

    def __init__(self, series: Series, steps: np.ndarray, graph: Graph):
        self._values: Any = series.values
        self._rows = np.searchsorted(series.steps, steps).tolist()
        self._graph = graph
        if isinstance(self._values, da.Array):
            self._values = self._values.rechunk(dict.fromkeys(range(1, self._values.ndim), -1))
            self._starts = np.cumsum([0, *self._values.chunks[0]])

    def argument(self, number: int) -> Any:
        """Return the table of a step."""
        row = self._rows[number]
        if isinstance(self._values, da.Array):
            return self._graph.chunk(self._values, self._chunk(row))
        return self._values[row : row + 1]

    def row(self, number: int) -> int:
        """Return the row of that table that holds the step."""
        row = self._rows[number]
        return row - int(self._starts[self._chunk(row)]) if isinstance(self._values, da.Array) else 0

    def _chunk(self, row: int) -> int:
        return int(np.searchsorted(self._starts, row, "right")) - 1
