"""What is kept of a replay: observers see the outputs of layers, batch by batch, and keep what they reduce them to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, NamedTuple

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.task_spec import List, Task, TaskRef

from trajlab.errors import BadSetting, MissingData

INPUT = "input"
"""Name of the inputs of the network, as a layer."""

REPLAY = "replay"
"""What the names of tasks begin with that put a probe through a network."""


class Layer(NamedTuple):
    """A layer whose outputs are observed.

    Parameters
    ----------
    name
        Name of the layer.
    shape
        Shape of its output for one sample.
    dims
        Names of the axes of `shape`; `unit` is one of them.
    dtype
        Element type of the output.
    attrs
        What is known of it: `module`, `module_class`, `source`, `rectified`, `activation`; of convolutions also
        `kernel`, `stride`, `padding`, `dilation`, `groups`, `padding_mode` and `transposed`.
    input_shape
        Shape of what goes into it, for one sample.
    """

    name: str
    shape: tuple[int, ...]
    dims: tuple[str, ...]
    dtype: np.dtype
    attrs: dict[str, Any]
    input_shape: tuple[int, ...] = ()

    @property
    def unit_axis(self) -> int:
        """Axis over the units in `shape`."""
        return self.dims.index("unit")

    @property
    def units(self) -> int:
        """Number of units."""
        return self.shape[self.unit_axis]


class Seen(NamedTuple):
    """What a layer gives for some samples of the probe.

    Parameters
    ----------
    values
        Its output, (sample, *shape); good only while the observer looks at it. Not there (empty) for observers of
        gradients that do not take values.
    first
        Position of the first of these samples in the probe.
    gradient
        Derivative of the objective by the output, of the same shape; for observers with an objective.
    parameters
        Parameters of the layer's own module at this step, by their names in it.
    """

    values: np.ndarray
    first: int
    gradient: np.ndarray | None = None
    parameters: Mapping[str, np.ndarray] = {}


class Output(NamedTuple):
    """An array that an observer finds at each step.

    Parameters
    ----------
    dims, shape
        Its axes.
    dtype
        Its element type.
    coords
        Coordinates of the axes.
    attrs
        What is to be said of it.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: Any = np.float64
    coords: Mapping[str, Any] = {}
    attrs: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Objective:
    """What gradients are of: a sum over the samples, so that each sample has a gradient of its own.

    Parameters
    ----------
    kind
        ``loss``: cross-entropy of labels, or mean squared error of values; ``logit``: the output of the sample's
        label; ``p_logit``: that times its softmax; ``unit``: the mean output of a unit of a layer, of another unit for
        each sample.
    layer
        The layer of ``unit``.
    units
        The unit for each sample.
    """

    kind: str = "loss"
    layer: str = ""
    units: tuple[int, ...] = ()


class Observer:
    """A reduction of what layers give: plain settings, so that equal ones are the same task, and the steps of it.

    Attributes
    ----------
    objective
        Whose gradient it wants; None if it is content with values.
    takes_values
        Whether it wants values beside gradients.
    small
        Whether what it finds is small: it is then given for all steps together, in one chunk; else a chunk a step.
    """

    objective: Objective | None = None
    takes_values: ClassVar[bool] = True
    small: ClassVar[bool] = True

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Say what is found at a step, by name.

        Parameters
        ----------
        layers
            What is observed, in the order of the pass.
        samples
            Samples of the probe.
        """
        raise NotImplementedError

    def start(self, layers: Sequence[Layer], samples: int) -> Any:
        """Make the state that what is seen is added to."""
        raise NotImplementedError

    def add(self, state: Any, place: int, seen: Seen) -> None:
        """Add what the layer at a place in `layers` gives for some samples; these come in order."""
        raise NotImplementedError

    def finish(self, state: Any) -> Mapping[str, np.ndarray]:
        """Give what was found, as said in `outputs`."""
        raise NotImplementedError


def observe(activations: Mapping[str, xr.DataArray], observer: Observer) -> dict[str, xr.DataArray]:
    """Reduce the outputs of layers to what an observer finds, (step, …) each; lazily.

    Parameters
    ----------
    activations
        What `trajlab.replay` gives, and then the observer looks on during the pass and no output is kept; or arrays by
        name of the layer, dims (step, sample, …, unit, …).
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
        raise BadSetting(
            "gradients of activations were asked for; arrays of activations have none. Pass what trajlab.replay gives."
        )
    return _observe_arrays(activations, observer)


class Observable(Mapping[str, xr.DataArray]):
    """Outputs of layers that observers can look at while they are computed."""

    layers: tuple[Layer, ...]
    samples: int

    def observe(self, observer: Observer) -> dict[str, xr.DataArray]:
        """Give what an observer finds, (step, …) each; lazily."""
        raise NotImplementedError


@dataclass(eq=False)
class Watch:
    """An observer at work: its state, and where each of its layers is among them.

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
        """Give what was found, in the order of the outputs."""
        outputs = self.observer.outputs(self.layers, self.samples)
        found = self.observer.finish(self.state)
        return [np.asarray(found[name], output.dtype) for name, output in outputs.items()]


def assembled(
    graph: HighLevelGraph, name: str, steps: np.ndarray, outputs: Mapping[str, Output], *, small: bool,
    attrs: Mapping[str, Any],
) -> dict[str, xr.DataArray]:  # fmt: skip
    """Give the outputs of an observer as arrays.

    Parameters
    ----------
    graph
        Has a task ``(name, position)`` for each step, that gives a list of the outputs.
    name
        Name of these tasks.
    steps
        Optimizer steps, (step).
    outputs
        What they give.
    small
        Whether all steps are one chunk.
    attrs
        Attrs of all arrays.
    """
    source, dependencies = name, {**graph.dependencies}
    layers: dict[str, Any] = dict(graph.layers)
    if small:
        source = f"{name}-steps"
        every = List(*(TaskRef((name, position)) for position in range(len(steps))))
        layers[source] = MaterializedLayer({(source, 0): Task((source, 0), _stacked, every)})
        dependencies[source] = {name}
    found = {}
    step = xr.Variable("step", steps, {"long_name": "optimizer step", "units": "1"})
    for position, (key, output) in enumerate(outputs.items()):
        own = f"{name}-{position}"
        zeros = (0,) * len(output.shape)
        chunks = [len(steps)] if small else [1] * len(steps)
        tasks = {
            (own, place, *zeros): Task(
                (own, place, *zeros), _pick if small else _pick_row, TaskRef((source, place)), position
            )
            for place in range(len(chunks))
        }
        whole = HighLevelGraph({**layers, own: MaterializedLayer(tasks)}, {**dependencies, own: {source}})
        values = da.Array(whole, own, (tuple(chunks), *((n,) for n in output.shape)), dtype=np.dtype(output.dtype))
        coords = {"step": step, **output.coords}
        found[key] = xr.DataArray(values, coords, ("step", *output.dims), key, {**output.attrs, **attrs})
    return found


def _stacked(steps: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    return [np.stack(rows) for rows in zip(*steps, strict=True)]


def _pick(found: Sequence[np.ndarray], position: int) -> np.ndarray:
    return found[position]


def _pick_row(found: Sequence[np.ndarray], position: int) -> np.ndarray:
    return found[position][None]


def _observe_arrays(activations: Mapping[str, xr.DataArray], observer: Observer) -> dict[str, xr.DataArray]:
    """Let an observer look at arrays, a step after the other."""
    arrays = {name: _by_sample(name, array) for name, array in activations.items()}
    steps = _shared_steps(arrays)
    layers = tuple(
        Layer(name, array.shape[2:], tuple(map(str, array.dims[2:])), array.dtype, dict(array.attrs))
        for name, array in arrays.items()
    )
    data = [array.sel(step=steps).data for array in arrays.values()]
    data = [part if isinstance(part, da.Array) else da.from_array(part, chunks=(1, *part.shape[1:])) for part in data]
    data = [part.rechunk({0: 1} | dict.fromkeys(range(1, part.ndim), -1)) for part in data]
    samples = max((array.sizes["sample"] for array in arrays.values()), default=0)
    name = "observe-" + tokenize(observer, [part.name for part in data], layers, steps)
    work: Callable[..., Any] = partial(_observed, observer, layers, samples)
    tasks: dict[Any, Any] = {
        (name, place): Task(
            (name, place), work, List(*(TaskRef((part.name, place, *(0,) * (part.ndim - 1))) for part in data))
        )
        for place in range(len(steps))
    }
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=data)
    outputs = observer.outputs(layers, samples)
    return assembled(graph, name, steps, outputs, small=observer.small, attrs={})


def _observed(
    observer: Observer, layers: Sequence[Layer], samples: int, values: Sequence[np.ndarray]
) -> list[np.ndarray]:
    watch = Watch(observer, layers, samples)
    for place, rows in enumerate(values):
        observer.add(watch.state, place, Seen(rows[0], 0))
    return watch.found()


def _by_sample(name: str, array: xr.DataArray) -> xr.DataArray:
    if not {"step", "unit"} <= set(array.dims):
        raise BadSetting(
            f"activations with dims step and unit were expected; {name} has {', '.join(map(str, array.dims))}. "
            "Rename the dim over its units to unit."
        )
    array = array if "sample" in array.dims else array.expand_dims("sample")
    return array.transpose("step", "sample", ...)


def _shared_steps(arrays: Mapping[str, xr.DataArray]) -> np.ndarray:
    shared: np.ndarray | None = None
    for array in arrays.values():
        own = array["step"].values
        shared = own if shared is None else np.intersect1d(shared, own)
    if shared is None or not len(shared):
        raise MissingData("steps at which all layers are known were asked for; there are none. Replay them together.")
    return shared
