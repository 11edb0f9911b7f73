"""Observers applied to activations, and their results as lazy arrays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import tokenize

from trajlab.errors import BadSetting, MissingData
from trajlab.replays.observers.observer import Batch, Layer, Observable, Observer, Output
from trajlab.runs.tensors import common_steps
from trajlab.scan.graph import Graph, Pass


def observe(activations: Mapping[str, xr.DataArray], observer: Observer) -> dict[str, xr.DataArray]:
    """Reduce the outputs of layers with an observer, and return its results, (step, …) each; lazily.

    Parameters
    ----------
    activations
        A result of `trajlab.replay`, whose outputs are reduced during the pass and not kept; or arrays by layer name,
        dims (step, sample, …, unit, …).
    observer
        The reduction. One that has an objective needs a replay.

    Raises
    ------
    BadSetting
        Activations have no dim `unit`, or are arrays where gradients are needed.
    """
    if isinstance(activations, Observable):
        return activations.observe(observer)
    if observer.objective is not None:
        raise BadSetting("cannot observe gradients of arrays of activations; pass the result of trajlab.replay")
    return _observe_arrays(activations, observer)


def layers_in(activations: Mapping[str, xr.DataArray]) -> tuple[Layer, ...]:
    """Return the layers of a replay, or of arrays by layer name."""
    if isinstance(activations, Observable):
        return activations.layers
    return _labeled({name: _by_sample(name, array) for name, array in activations.items()})


def select(activations: Mapping[str, xr.DataArray], patterns: Sequence[str]) -> Mapping[str, xr.DataArray]:
    """Return the outputs of the layers that patterns name, of a replay or of arrays by layer name.

    Raises
    ------
    BadSetting
        A pattern names no layer.
    """
    if isinstance(activations, Observable):
        return activations.select(patterns)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in activations):
            raise BadSetting(f"cannot select the layer {pattern!r}: choose among {', '.join(activations)}")
    return {
        name: array for name, array in activations.items() if any(fnmatchcase(name, pattern) for pattern in patterns)
    }


@dataclass(eq=False)
class Watch:
    """An observer and its state during a pass.

    Parameters
    ----------
    observer
        The observer.
    layers
        Its layers.
    samples
        Samples of the probe.
    """

    observer: Observer
    layers: Sequence[Layer]
    samples: int
    state: Any = field(init=False)

    def __post_init__(self) -> None:
        self.state = self.observer.start(self.layers, self.samples)

    def found(self) -> list[np.ndarray]:
        """Return the results, in the order of the outputs."""
        outputs = self.observer.outputs(self.layers, self.samples)
        found = self.observer.finish(self.state)
        return [np.asarray(found[name], output.dtype) for name, output in outputs.items()]


def assembled(
    graph: Graph, results: list[Any], steps: np.ndarray, outputs: Mapping[str, Output], *, small: bool,
    attrs: Mapping[str, Any],
) -> dict[str, xr.DataArray]:  # fmt: skip
    """Return the outputs of an observer as arrays, (step, …) each.

    Parameters
    ----------
    graph
        Gets the tasks.
    results
        The result of the pass of each step.
    steps
        Optimizer steps, (step).
    outputs
        The outputs.
    small
        Whether all steps are one chunk.
    attrs
        Attrs of all arrays.
    """
    stacked = graph.add(("steps", 0), _stacked, results) if small else None
    arrays = {}
    step = xr.Variable("step", steps, {"long_name": "optimizer step", "units": "1"})
    for number, (name, output) in enumerate(outputs.items()):
        label, dtype = str(number), np.dtype(output.dtype)
        if small:
            shape = (len(steps), *output.shape)
            values = graph.array(label, shape, list.__getitem__, stacked, number, dtype=dtype)
        else:
            rows = [(result, number) for result in results]
            values = graph.array_of_rows(label, output.shape, _row, rows, dtype=dtype)
        coords = {"step": step, **output.coords}
        arrays[name] = xr.DataArray(values, coords, ("step", *output.dims), name, {**output.attrs, **attrs})
    return arrays


def _stacked(steps: Sequence[Sequence[Sequence[np.ndarray]]]) -> list[np.ndarray]:
    return [np.stack(rows) for rows in zip(*(outputs for (outputs,) in steps), strict=True)]


def _row(result: Sequence[Sequence[np.ndarray]], number: int) -> np.ndarray:
    return result[0][number][None]


def _observe_arrays(activations: Mapping[str, xr.DataArray], observer: Observer) -> dict[str, xr.DataArray]:
    """Reduce arrays, step by step."""
    arrays = {name: _by_sample(name, array) for name, array in activations.items()}
    steps = _shared_steps(arrays)
    layers = _labeled(arrays)
    data = [array.sel(step=steps).data for array in arrays.values()]
    data = [part if isinstance(part, da.Array) else da.from_array(part, chunks=(1, *part.shape[1:])) for part in data]
    data = [part.rechunk({0: 1} | dict.fromkeys(range(1, part.ndim), -1)) for part in data]
    samples = max((array.sizes["sample"] for array in arrays.values()), default=0)
    token = tokenize([part.name for part in data], layers, steps)
    graph = Graph(f"observe-{tokenize(token, observer)}")
    work: Callable[..., Any] = partial(_observed, layers, samples)
    results = [
        graph.add_pass(
            ("pass", row), Pass(work, (observer,), (token, row)), [None], [graph.chunk(part, row) for part in data]
        )
        for row in range(len(steps))
    ]
    outputs = observer.outputs(layers, samples)
    return assembled(graph, results, steps, outputs, small=observer.small, attrs={})


def _observed(
    layers: Sequence[Layer], samples: int, observers: Sequence[Observer], states: Sequence[None],
    values: Sequence[np.ndarray],
) -> list[list[np.ndarray]]:  # fmt: skip
    watches = [Watch(observer, layers, samples) for observer in observers]
    for watch in watches:
        for position, rows in enumerate(values):
            watch.observer.add(watch.state, position, Batch(rows[0], 0))
    return [watch.found() for watch in watches]


def _labeled(arrays: Mapping[str, xr.DataArray]) -> tuple[Layer, ...]:
    return tuple(
        Layer(name, array.shape[2:], tuple(map(str, array.dims[2:])), array.dtype, dict(array.attrs))
        for name, array in arrays.items()
    )


def _by_sample(name: str, array: xr.DataArray) -> xr.DataArray:
    if not {"step", "unit"} <= set(array.dims):
        raise BadSetting(
            f"cannot observe {name}: its dims are {', '.join(map(str, array.dims))}; name those over steps and units "
            "step and unit"
        )
    array = array if "sample" in array.dims else array.expand_dims("sample")
    return array.transpose("step", "sample", ...)


def _shared_steps(arrays: Mapping[str, xr.DataArray]) -> np.ndarray:
    shared = common_steps(array["step"].values for array in arrays.values())
    if not len(shared):
        raise MissingData("cannot observe the layers: they share no step; replay them together")
    return shared
