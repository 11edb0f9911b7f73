"""Replaying: the snapshots of a run put through its network again, on a fixed batch of examples."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
import torch
import xarray as xr
from dask.base import tokenize

from trajlab.errors import MissingData
from trajlab.record.probe import probe_facts, probe_tensors
from trajlab.replaying.graph import passes, picked
from trajlab.replaying.layers import choose, trial
from trajlab.replaying.models import Model, build, described, fit
from trajlab.replaying.network import Network, array_type, as_input, hollow, widened
from trajlab.snapshots.rows import widen
from trajlab.snapshots.tensors import Life
from trajlab.trajectory import Trajectory

TRIAL_SAMPLES = 3
"""Samples of zeros that the network is tried on; several, so that the axis over samples is told from others."""


def replay(
    trajectory: Trajectory,
    *,
    model: Model | None = None,
    probe: Any = None,
    layers: Sequence[str] | None = None,
    device: str = "cpu",
) -> Mapping[str, xr.DataArray]:
    """Put the weights and buffers of each step through the network, on a fixed batch; lazily.

    The network is in eval mode and computes in the element types that it was built in: those of bfloat16 snapshots
    are widened exactly where its factory builds it in float32. It is tried on zeros once, to learn its layers.

    Parameters
    ----------
    trajectory
        A run.
    model
        The network, a function that builds it, or the name of one, "package.module:factory"; by default the one that
        run.json names, imported from the current directory if it takes that.
    probe
        Inputs, (sample, ...), or a pair of inputs and targets; by default the probe of the run.
    layers
        Names of modules, or patterns such as "layer1.*.relu", whose outputs are wanted; "" is the network itself. By
        default all activations; in a network whose activations are no modules, the outputs of its linear and
        convolution modules except the last, which pass 0 where an activation would.
    device
        Where the network runs.

    Returns
    -------
    Mapping
        By name of the layer, in the order of the pass, arrays with dims (step, sample, unit, y, x) after
        convolutions, (step, sample, unit) or (step, sample, position, unit) after linear modules. A module that is
        called again gives a layer of its own each time: relu, relu:1, …. In attrs: `module` and `module_class`,
        `source`, the last module before it whose weights have a row for each unit, `activation`, whether it is an
        activation at all, `rectified`, whether that is a ReLU, and `probe_sha256`.

    Raises
    ------
    MissingData
        The run has no probe or names no model, and none is given; or no step has all tensors.
    BadSetting
        The model does not fit the weights or the probe, or a pattern fits no module.

    Examples
    --------
    >>> import trajlab
    >>> walk = trajlab.from_arrays({"0.weight": np.ones((2, 3, 4)), "0.bias": np.zeros((2, 3))}, steps=[0, 10])
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    >>> trajlab.replay(walk, model=net, probe=torch.ones(5, 4))["1"].sizes
    Frozen({'step': 2, 'sample': 5, 'unit': 3})
    """
    inputs, sha256 = _probe(trajectory, probe)
    built = build(trajectory, model).to(device)
    homes = fit(built, trajectory)
    zeros = torch.from_numpy(np.zeros((min(TRIAL_SAMPLES, len(inputs)), *inputs.shape[1:]), inputs.dtype)).to(device)
    calls = trial(built, as_input(zeros, [value.dtype for value in built.parameters()]))
    chosen = choose(calls, [layers] if isinstance(layers, str) else layers)
    network = Network(hollow(built), tuple(homes), tuple(chosen), device)
    recorded = trajectory.weights.lives | trajectory.buffers.lives
    lives = [recorded[home] for home in homes.values()]
    steps = _shared_steps(trajectory, lives)
    name = "replay-" + tokenize(
        _identity(trajectory, model), homes, [life.values for life in lives], steps, inputs,
        [layer.name for layer in chosen], device,
    )  # fmt: skip
    graph = passes(name, network, inputs, lives, steps)
    coords = {"step": ("step", steps, {"long_name": "optimizer step", "units": "1"})}
    return {
        layer.name: xr.DataArray(
            picked(graph, name, position, len(steps), (len(inputs), *layer.shape), array_type(layer.dtype)),
            coords,
            ("step", "sample", *layer.dims),
            layer.name,
            layer.attrs | {"probe_sha256": sha256},
        )
        for position, layer in enumerate(chosen)
    }


def activations(trajectory: Trajectory) -> Mapping[str, xr.DataArray] | None:
    """Replay a run with all defaults; None if it has no probe or names no model."""
    if "inputs" not in trajectory.probe or described(trajectory) is None:
        return None
    return replay(trajectory)


def replaying(trajectory: Trajectory) -> Callable[..., Mapping[str, xr.DataArray]] | None:
    """Give `replay` of a run, for inputs yet to be named; None if it names no model."""
    return None if described(trajectory) is None else partial(replay, trajectory)


def _probe(trajectory: Trajectory, probe: Any) -> tuple[np.ndarray | da.Array, str]:
    """Give the inputs and their hash; that of a lazy array that a user gives is unknown."""
    if probe is None:
        if "inputs" not in trajectory.probe:
            raise MissingData(
                f"the probe of {trajectory.source or 'the run'} was asked for, to replay it; it has none. "
                "Record with Recorder(probe=inputs), or pass probe=."
            )
        return trajectory.probe["inputs"].data, str(trajectory.probe.attrs.get("sha256", ""))
    parts = [
        part.data if isinstance(part, xr.DataArray) else part
        for part in (probe if isinstance(probe, tuple | list) else [probe])
    ]
    if isinstance(parts[0], da.Array):
        return parts[0], ""
    plain = [widen(part) if isinstance(part, np.ndarray) else part for part in parts]
    as_tensors = [torch.as_tensor(part).cpu() for part in plain]
    tensors = probe_tensors(as_tensors[0] if len(as_tensors) == 1 else (as_tensors[0], as_tensors[1]))
    facts = probe_facts(tensors) or {}
    inputs = tensors["inputs"]
    return inputs.to(widened(inputs.dtype)).numpy(), facts["sha256"]


def _identity(trajectory: Trajectory, model: Model | None) -> Any:
    """Give what a model is known by: its factory's name, so that replays share their tasks, or a name for once.

    An object is not tokenized: dask would pickle and load it, which changes classes of a notebook in place.
    """
    return (model, described(trajectory)) if model is None or isinstance(model, str) else uuid4().hex


def _shared_steps(trajectory: Trajectory, lives: Sequence[Life]) -> np.ndarray:
    steps = lives[0].steps if lives else trajectory.steps
    for life in lives:
        steps = np.intersect1d(steps, life.steps, assume_unique=True)
    if not len(steps):
        raise MissingData(
            f"steps of {trajectory.source or 'the run'} with all weights and buffers were asked for; there are none. "
            "Record whole snapshots."
        )
    return steps
