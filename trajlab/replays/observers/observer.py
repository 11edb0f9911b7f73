"""What an observer is: it sees the outputs of layers, batch by batch, and keeps what it reduces them to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import xarray as xr

INPUT = "input"
"""Name of the inputs of the network, as a layer."""


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
        `kernel`, `stride`, `padding`, `dilation`, `groups`, `padding_mode` and `transposed`, of activations the numbers
        that they were made with, such as `min_val`, and of softmaxes `softmax_axis`, the axis of `shape` along which
        they sum to 1.
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
        Parameters of the layer's own module at this step, by their names in it; of the network itself, all,
        tied ones once.
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
        label; ``p_logit``: that times its softmax; ``predicted_logit``: the largest output of the sample, where it
        has a label; ``unit``: the mean output of a unit of a layer, of another unit for each sample.
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


class Observable(Mapping[str, xr.DataArray]):
    """Outputs of layers that observers can look at while they are computed."""

    layers: tuple[Layer, ...]
    samples: int

    def observe(self, observer: Observer) -> dict[str, xr.DataArray]:
        """Give what an observer finds, (step, …) each; lazily."""
        raise NotImplementedError
