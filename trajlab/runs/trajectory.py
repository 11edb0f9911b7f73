"""A training run as labeled lazy arrays over the steps."""

from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import numpy as np
import xarray as xr

from trajlab.errors import MissingData
from trajlab.runs.optimizer import OptimizerState, split_name
from trajlab.runs.tensors import Tensors
from trajlab.schema import (
    BUFFERS,
    GRADIENTS,
    HYPERPARAMETERS,
    METRICS,
    OPTIMIZER,
    PROBE,
    WEIGHTS,
    node_of,
)

if TYPE_CHECKING:
    import torch


class Trajectory:
    """A training run: all its tensors at all recorded steps, lazily.

    Attributes
    ----------
    weights, gradients, buffers
        Arrays by name in network order, dims ``(step, out, in, y, x)`` as far as a tensor has them, or
        ``(step, sample)`` with the coord `index` where only a sample of the entries was recorded. Each has the steps
        at which it was recorded.
    metrics
        Values logged while training, dims ``(step)``. A metric with NaN has the coord `<metric>_measured`, (step) bool,
        where the run tells a NaN that was logged from a step without a value.
    probe
        The fixed batch that snapshots are replayed on: `inputs` and `targets`, with its `sha256` in attrs.
    optimizer
        State of the optimizer, where checkpoints keep it: `moments` by entry and parameter, such as
        ``run.optimizer.moments["exp_avg"]["fc.weight"]``, and `hyperparameters`, (step, parameter). It is looked for
        when it is first asked for.
    facts
        What made the run, as in run.json.
    source
        Path or URL of the run; empty for one in memory.
    trusted
        Whether the model factory that `facts` name may be imported and called: the caller made the run in memory, said
        so (``trajlab.open(..., trust=True)``), or recorded it on this machine.
    chosen_by
        Regular expression by which its parameters were chosen; empty if they were not.
    model, device, unit_axis
        The network of `with_model`, in which snapshots are replayed, the device on which it runs, and axes over units
        of its layers.
    """

    def __init__(
        self,
        weights: Tensors,
        gradients: Tensors | None = None,
        buffers: Tensors | None = None,
        *,
        metrics: xr.Dataset | None = None,
        probe: xr.Dataset | None = None,
        facts: dict[str, Any] | None = None,
        source: str = "",
        optimizer: "OptimizerState | Callable[[Trajectory], OptimizerState] | None" = None,
    ):
        self.weights = weights
        self.gradients = Tensors({}) if gradients is None else gradients
        self.buffers = Tensors({}) if buffers is None else buffers
        self.metrics = xr.Dataset() if metrics is None else metrics
        self.probe = xr.Dataset() if probe is None else probe
        self.facts = {} if facts is None else facts
        self.source = source
        self._optimizer = OptimizerState() if optimizer is None else optimizer
        self.trusted = not source
        self.chosen_by = ""
        self.model: Any = None
        self.model_token = ""
        self.device = "cpu"
        self.unit_axis: Sequence[str] = ()

    def with_model(
        self, model: Any = None, *, probe: xr.Dataset | None = None, device: str | None = None,
        unit_axis: Sequence[str] | None = None,
    ) -> Self:  # fmt: skip
        """Return the same run with another network, probe or device for its replay; None keeps the present one.

        Parameters
        ----------
        model
            The network, a function that builds it, or the name of one, "package.module:factory".
        probe
            `inputs` and `targets`, with its `sha256` in attrs, as `trajlab.read_probe` returns them.
        device
            Device on which the network runs.
        unit_axis
            Axes over units, as `trajlab.replay` takes them.
        """
        other = copy(self)
        if model is not None:
            other.model, other.model_token = model, model if isinstance(model, str) else uuid4().hex
        other.probe = self.probe if probe is None else probe
        other.device = self.device if device is None else device
        other.unit_axis = self.unit_axis if unit_axis is None else unit_axis
        return other

    def without_optimizer(self) -> Self:
        """Return the same run without the state of its optimizer, which is then not looked for."""
        other = copy(self)
        other._optimizer = OptimizerState()
        return other

    @property
    def optimizer(self) -> OptimizerState:
        """State of the optimizer; empty if no checkpoint keeps it."""
        if not isinstance(self._optimizer, OptimizerState):
            self._optimizer = self._optimizer(self)
        return self._optimizer

    @property
    def optimizer_source(self) -> str:
        """Where the state of the optimizer may lie, in words, as long as it was not read; else empty."""
        return "" if isinstance(self._optimizer, OptimizerState) else str(self._optimizer)

    @property
    def steps(self) -> np.ndarray:
        """Steps at which any weight was recorded, (step)."""
        return self.weights.steps

    @property
    def step_source(self) -> str:
        """How steps were read from a folder that no Recorder wrote, such as "epoch in the name"; else empty."""
        return str(self.facts.get("steps", {}).get("source", ""))

    @property
    def left_aside(self) -> dict[str, str]:
        """Files and folders of checkpoints beside the run that are not in it, with the reason."""
        return dict(self.facts.get("steps", {}).get("left_aside", {}))

    @property
    def tree(self) -> xr.DataTree:
        """The run as a tree: /weights/<name>/value, /optimizer/<name>/exp_avg/value and so on, as in a packed store."""
        metrics = self.metrics.rename(nodes_of(self.metrics))
        nodes = {f"/{METRICS}": metrics, f"/{PROBE}": self.probe}
        for group, tensors in ((WEIGHTS, self.weights), (GRADIENTS, self.gradients), (BUFFERS, self.buffers)):
            nodes |= {f"/{group}/{node_of(name)}": tensors[name].to_dataset(name="value") for name in tensors}
        if len(self.optimizer):
            nodes[f"/{HYPERPARAMETERS}"] = self.optimizer.hyperparameters
        for name in self.optimizer.tensors:
            path = "/".join(map(node_of, split_name(name)))
            nodes[f"/{OPTIMIZER}/{path}"] = self.optimizer.tensors[name].to_dataset(name="value")
        return xr.DataTree.from_dict(nodes)

    def at(self, step: int, *, partial: bool = False) -> "dict[str, torch.Tensor]":
        """Return the weights and buffers of one step as a state_dict, in their stored element types.

        Parameters
        ----------
        step
            The step.
        partial
            Leave out tensors that were not recorded at the step.

        Raises
        ------
        MissingData
            A tensor was not recorded at the step.
        """
        import torch

        state = {}
        for tensors in (self.weights, self.buffers):
            for name, series in tensors.series.items():
                position = int(np.searchsorted(series.steps, step))
                if position == len(series.steps) or series.steps[position] != step:
                    if partial:
                        continue
                    near = series.steps[max(position - 2, 0) : position + 2].tolist()
                    raise MissingData(
                        f"cannot return {name} at step {step}: it was recorded at {near}; choose one of these steps"
                    )
                values = tensors[name].data[position]
                array = np.array(values.compute(scheduler="sync") if hasattr(values, "compute") else values)
                state[name] = torch.from_numpy(array).to(getattr(torch, series.stored_at(position).name))
        tied = {alias: name for alias, name in self.facts.get("tied", {}).items() if name in state}
        return state | {alias: state[name] for alias, name in tied.items()}

    def __repr__(self) -> str:
        steps = self.steps
        span = f"steps {steps[0]} to {steps[-1]}" if len(steps) else "no steps"
        return (
            f"<Trajectory: {len(self.weights)} weights, {len(self.gradients)} gradients, "
            f"{len(self.buffers)} buffers; {len(steps)} snapshots, {span}>"
        )

    def _repr_html_(self) -> str:
        """Show the inventory of the run in a notebook; no tensor is read."""
        from trajlab.runs.inventory import inventory
        from trajlab.runs.inventory_html import inventory_html

        return inventory_html(repr(self), inventory(self))


def nodes_of(dataset: xr.Dataset) -> dict[str, str]:
    """Return the names of the nodes of a packed store that hold the variables of a dataset.

    Names of coords get no space, as the attr `coordinates` of a store separates them by spaces.
    """
    variables = {str(name): node_of(str(name)) for name in dataset.variables if name not in dataset.dims}
    return {name: node.replace(" ", "%20") if name in dataset.coords else node for name, node in variables.items()}
