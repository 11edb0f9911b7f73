"""Observers: folds over the outputs of layers, batch by batch, with the verbs start, add and finish.

Kernels (`trajlab.scan.block.Kernel`) are the same over tiles of weights. Observers have no `merge`: one pass per step
sees all batches.
"""

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
    mask, positions
        Of a probe with padding: the name of its mask, and the axes of `shape` that run over the mask's positions.
    """

    name: str
    shape: tuple[int, ...]
    dims: tuple[str, ...]
    dtype: np.dtype
    attrs: dict[str, Any]
    input_shape: tuple[int, ...] = ()
    mask: str = ""
    positions: tuple[int, ...] = ()

    @property
    def unit_axis(self) -> int:
        """Axis over the units in `shape`."""
        return self.dims.index("unit")

    @property
    def units(self) -> int:
        """Number of units."""
        return self.shape[self.unit_axis]


class Batch(NamedTuple):
    """The output of a layer for a batch of the probe.

    Parameters
    ----------
    values
        The output, (sample, *shape), which is valid only during `add`; empty for observers that take gradients only.
        If padding was cut out, the axes `positions` of the layer hold only the positions `kept`.
    first
        Position of the first of these samples in the probe.
    gradient
        Derivative of the objective by the output, of the same shape; for observers with an objective.
    parameters
        Parameters of the layer's own module at this step, by their names in it; of the network itself, all,
        tied ones once.
    targets
        Targets of these samples, if the probe has any.
    kept
        Positions that hold tokens if padding was cut out; None if nothing was.
    """

    values: np.ndarray
    first: int
    gradient: np.ndarray | None = None
    parameters: Mapping[str, np.ndarray] = {}
    targets: np.ndarray | None = None
    kept: np.ndarray | None = None


class Output(NamedTuple):
    """Description of an array that an observer returns at each step.

    Parameters
    ----------
    dims, shape
        Its axes.
    dtype
        Its element type.
    coords
        Coordinates of the axes.
    attrs
        Attributes.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: Any = np.float64
    coords: Mapping[str, Any] = {}
    attrs: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Objective:
    """What is differentiated: a sum over the samples, so that each sample has its own gradient.

    Parameters
    ----------
    kind
        ``loss``: that of the task; ``logit``: the output of the sample's label, of a single output with its sign turned
        for the negative label; ``p_logit``: that times its probability, which counts as a constant;
        ``predicted_logit``: the logit of the predicted class, where the sample has a label; ``unit``: the mean output
        of a unit of a layer, of another unit for each sample.
    layer
        The layer of ``unit``.
    units
        The unit for each sample.
    task
        What the loss is, one of `trajlab.statistics.tasks.TASKS`; by default what the targets tell.
    """

    kind: str = "loss"
    layer: str = ""
    units: tuple[int, ...] = ()
    task: str = ""


class Observer:
    """A fold over the outputs of layers: plain settings, so that equal ones share a task, and its verbs.

    Attributes
    ----------
    objective
        Objective to differentiate; None if only values are needed.
    takes_values
        Whether it takes values beside gradients.
    through
        Paths of modules that are applied to the outputs of layers, except the network's own, before they are observed.
    takes_padding
        Whether batches include padding. By default it is cut out, and all samples of a batch have the same padding.
    by_unit
        Whether it has a number of each unit, whatever the sample.
    small
        Whether its arrays are small: all steps are then one chunk; else each step is a chunk.
    """

    objective: Objective | None = None
    takes_values: ClassVar[bool] = True
    takes_padding: ClassVar[bool] = False
    by_unit: ClassVar[bool] = False
    through: tuple[str, ...] = ()
    small: ClassVar[bool] = True

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe the arrays of a step, by name.

        Parameters
        ----------
        layers
            The observed layers, in the order of the pass.
        samples
            Samples of the probe.
        """
        raise NotImplementedError

    def start(self, layers: Sequence[Layer], samples: int) -> Any:
        """Return the state to which batches are added."""
        raise NotImplementedError

    def add(self, state: Any, number: int, batch: Batch) -> None:
        """Add a batch of the output of layer `number` in `layers`; batches come in order."""
        raise NotImplementedError

    def finish(self, state: Any) -> Mapping[str, np.ndarray]:
        """Return what was found, as said in `outputs`."""
        raise NotImplementedError


class Observable(Mapping[str, xr.DataArray]):
    """Outputs of layers that observers can reduce while they are computed; this class does not import torch."""

    layers: tuple[Layer, ...]
    samples: int
    head: tuple[str, ...] = ()
    """Paths of the modules that the network applies to the last block of its residual stream."""

    def observe(self, observer: Observer) -> dict[str, xr.DataArray]:
        """Return the results of an observer, (step, …) each; lazily."""
        raise NotImplementedError

    def select(self, patterns: Sequence[str]) -> "Observable":
        """Return the same of other layers of the network, by name or pattern."""
        raise NotImplementedError
