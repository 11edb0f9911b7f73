"""Replay: forward passes of a fixed batch through the network of a run, with the weights of each step."""

from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import numpy as np
import torch
import xarray as xr
from dask.base import tokenize
from torch import nn

from trajlab import sizes
from trajlab.errors import MissingData
from trajlab.replays.base_weights import base_weights
from trajlab.replays.batch_norm import check_mode
from trajlab.replays.calls import Call
from trajlab.replays.dtypes import as_input
from trajlab.replays.keywords import KEYWORDS, for_trial, keywords_of
from trajlab.replays.layers import select_layers
from trajlab.replays.model import Model, build, fit, recorded_for, usable_device
from trajlab.replays.model_facts import factory_of, lacks_model, lacks_probe
from trajlab.replays.named_axes import check_unit_axes
from trajlab.replays.probe_batches import as_probe
from trajlab.replays.replayed import Replayed
from trajlab.replays.stateless import Network, check_prunable, hollow, untouched
from trajlab.replays.tasks import Passes
from trajlab.replays.trace import Trial, trial
from trajlab.runs.tensors import Series, common_steps
from trajlab.runs.trajectory import Trajectory
from trajlab.statistics.next_tokens import with_next_tokens
from trajlab.terminal import say

TRIAL_SAMPLES = 3
"""Number of samples of zeros in a trial; several, so that the axis over samples can be recognized."""


def replay(
    trajectory: Trajectory,
    *,
    model: Model | None = None,
    probe: Any = None,
    layers: Sequence[str] | None = None,
    device: str | None = None,
    of: str = "activations",
    prune: float = 0.0,
    prune_relative: float = 0.0,
    prune_only: Sequence[str] = (),
    unit_axis: Sequence[str] | None = None,
    mode: str = "eval",
) -> Replayed:
    """Run a fixed batch through the network with the weights and buffers of each step; lazily.

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
        Inputs, (sample, ...), a pair of inputs and targets, or a Dataset with `inputs` and `targets`, whose inputs may
        have a dim `step`, for inputs of each step's own; by default the probe of the run.
    layers
        Names of modules and functions, or patterns such as "layer1.*.relu", whose outputs are wanted; "" is the network
        itself, and "input" what goes into it. A function of torch that is an activation or a softmax (`F.relu`,
        `torch.tanh`, `x.clamp(min=0)`, `x * (x > 0)`, …) is a layer named after the module whose forward pass calls it,
        and itself: "layer1.0.relu", or "layer1.0.relu()" where a module has that name. Of a module that gives several
        tensors the others are named "attention[1]", …; so is the attention of each head, (unit, query, key), of torch's
        MultiheadAttention and of modules that call `scaled_dot_product_attention`.
    device
        Where the network runs; by default the device of the run, which is the CPU unless it was said otherwise.
    of
        Without `layers`, what is wanted: all "activations", modules and functions (in a network without any, the
        outputs of its linear and convolution modules except the last), "nonlinearities" (activations, softmaxes and the
        attention of heads), "attention" (of heads), "convolutions", "units" (linear modules and convolutions) or all
        "modules".
    prune, prune_relative, prune_only
        Entries of weights whose size is below the one, or below the other times the RMS of their tensor, are put to 0,
        as in pruning by threshold. Weights are parameters of two dims or more; biases and the scales of norms are left.
        Patterns of names of parameters or modules choose some of them.
    unit_axis
        Axes over units, "AXIS" for all layers or "LAYER=AXIS" for some, counted in the output of several samples as
        torch counts them: "-1" where channels come last. By default the axis that the convolution, linear module or
        norm made, followed through transposing and reshaping.
    mode
        ``eval``, or ``train``: batch normalization then takes the mean and variance of each sample by itself, as in
        training with batches of one; dropout stays off.

    Returns
    -------
    Mapping
        By name of the layer, in the order of the pass, arrays with dims (step, sample, unit, y, x) after
        convolutions, (step, sample, unit) or (step, sample, position, unit) after linear modules. A module
        or function that is called again gives a layer of its own each time: relu, relu:1, …. In attrs: `module` and
        `module_class`, of a function the module that calls it and the class of torch.nn that computes the same,
        `function`, its name, `nonlinearity`, that class, `source`, the module whose weights have a row for each unit,
        `activation`, whether it is an activation at all, `rectified`, whether that is a ReLU, `unknown_units`, why it
        is not known which axis runs over the units, `unobserved`, activations of the network that cannot be observed
        (in torch.jit, fused kernels, or C++) or whose kind is unknown (`torch.where(x > 0, x, x.exp() - 1)`), and
        `probe_sha256`. Its method `observe` reduces the
        outputs while they are computed, without keeping them: see `trajlab.replays.observers.observer`.

    Raises
    ------
    MissingData
        The run has no probe or names no model, and none is given; or no step has all tensors.
    BadSetting
        The model does not fit the weights or the probe, a pattern fits no module, a unit axis is named for a layer that
        is not there, there is no such device or mode, or the mode is `train` and the network has no batch
        normalization.

    Examples
    --------
    >>> import trajlab
    >>> walk = trajlab.from_arrays({"0.weight": np.ones((2, 3, 4)), "0.bias": np.zeros((2, 3))}, steps=[0, 10])
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    >>> trajlab.replay(walk, model=net, probe=torch.ones(5, 4))["1"].sizes
    Frozen({'step': 2, 'sample': 5, 'unit': 3})
    """
    device = usable_device(trajectory.device if device is None else device)
    probe = None if probe is None else as_probe(probe)
    inputs, targets, own_steps, sha256 = probe_parts(trajectory, probe)
    shape = inputs.shape[1:] if own_steps is None else inputs.shape[2:]
    samples = inputs.shape[0] if own_steps is None else inputs.shape[1]
    identity = _identity(trajectory, model)
    trials = _trials.setdefault(trajectory, {}) if model is None or isinstance(model, str) else {}
    model = trajectory.model if model is None else model
    zeros = np.zeros((min(TRIAL_SAMPLES, samples), *shape), inputs.dtype)
    source = trajectory.probe if probe is None else probe
    built, homes, base, tried, keywords = _tried(trajectory, model, identity, zeros, source, device, trials)
    calls = tried.calls
    check_prunable(list(homes), prune_only)
    check_mode(mode, built)
    chosen = select_layers(calls, [layers] if isinstance(layers, str) else layers, of)
    attention = {call.key.path for call in chosen if call.is_attention}
    ends_in = next((call.ends_in for call in calls if call.ends_in), "")
    network = Network(
        built, tuple(homes), _batch(calls), device, tuple(sorted(attention)), prune, prune_relative, tuple(prune_only),
        ends_in, keywords, mode,
    )  # fmt: skip
    recorded = base | recorded_for(built, trajectory)
    tables = [recorded[home] for home in homes.values()]
    steps = _shared_steps(trajectory, tables, own_steps)
    if own_steps is not None:
        inputs = inputs[np.searchsorted(own_steps, steps)]
    name = "replay-" + tokenize(
        identity, homes, [base[home].values[:1] if home in base else recorded[home].values for home in homes.values()],
        steps, inputs, targets, network.attention, prune, prune_relative, tuple(prune_only), device, keywords, mode,
    )  # fmt: skip
    passes = Passes(name, network, (inputs, targets), tables, steps, own_steps is not None)
    if layers is None and tried.unobserved:
        _say_unobserved(", ".join(tried.unobserved))
    axes = trajectory.unit_axis if unit_axis is None else unit_axis
    check_unit_axes(calls, axes)
    return Replayed(passes, calls, chosen, samples, sha256, unit_axis=axes, unobserved=tried.unobserved)


@cache
def _say_unobserved(names: str) -> None:
    """Name activations that are left out, once, on stderr."""
    say(f"cannot observe {names}; statistics of all activations leave it out")


def activations(trajectory: Trajectory) -> Replayed | None:
    """Replay a run with all defaults; None if it has no probe or names no model."""
    return None if lacks_probe(trajectory) or lacks_model(trajectory) else replay(trajectory)


Tried = tuple[nn.Module, dict[str, str], dict[str, Series], Trial, dict[str, np.ndarray]]
"""A network without values, the recorded tensor of each of its names, its own weights, its trial, and its arguments."""

_trials: WeakKeyDictionary[Trajectory, dict[Any, Tried]] = WeakKeyDictionary()
"""Trials of each run, by the network and the probe; only of networks that can be recognized by name."""


def _tried(
    trajectory: Trajectory, model: Model | None, identity: Any, zeros: np.ndarray, probe: xr.Dataset, device: str,
    trials: dict[Any, Tried],
) -> Tried:  # fmt: skip
    """Build the network, try it, and take its values out, unless there is a trial of it already."""
    beside = {name: probe[name].values for name in KEYWORDS if name in probe}
    key = tokenize(identity, zeros, device, beside, str(probe.attrs.get("sha256", "")))
    if key not in trials:
        built = build(trajectory, model).to(device)
        recorded = recorded_for(built, trajectory)
        homes = fit(built, trajectory, recorded)
        base = base_weights(built, trajectory, homes, recorded)
        inputs = as_input(torch.from_numpy(zeros).to(device), [value.dtype for value in built.parameters()])
        pristine = hollow(untouched(built))
        keywords = keywords_of(probe, built)
        named = for_trial(keywords, len(zeros))
        tried = trial(built, inputs, {name: torch.from_numpy(value).to(device) for name, value in named.items()})
        hollow(built)  # the calls hold its modules
        trials[key] = pristine, homes, base, tried, keywords
    return trials[key]


def _batch(calls: Sequence[Call]) -> int:
    """Return how many samples go through the network at once: the same for all that is observed."""
    sample = sum(int(np.prod(call.shape)) * call.dtype.itemsize for call in calls)
    return int(np.clip(sizes.BATCH_BYTES // max(sample, 1), 1, sizes.BATCH_SAMPLES))


def probe_parts(trajectory: Trajectory, probe: Any) -> tuple[Any, Any, np.ndarray | None, str]:
    """Return inputs, targets, the steps if each has inputs of its own, and the hash."""
    if probe is None:
        if "inputs" not in trajectory.probe:
            raise MissingData(
                f"cannot replay {trajectory.source or 'the run'}: it has no probe; record with Recorder(probe=inputs), "
                "or pass probe= (--probe FILE)"
            )
        probe = trajectory.probe
    probe = with_next_tokens(as_probe(probe))
    inputs, targets = probe["inputs"], probe.get("targets")
    steps = inputs["step"].values if "step" in inputs.dims else None
    inputs = inputs if steps is None else inputs.transpose("step", ...)
    return inputs.data, None if targets is None else targets.data, steps, str(probe.attrs.get("sha256", ""))


def _identity(trajectory: Trajectory, model: Model | None) -> Any:
    """Return what a model is known by: its factory's name, so that replays share their tasks, or a name for once.

    An object is not tokenized: dask would pickle and load it, which changes classes of a notebook in key.
    """
    if model is None and trajectory.model is not None:
        return trajectory.model_token
    return (model, factory_of(trajectory)) if model is None or isinstance(model, str) else uuid4().hex


def _shared_steps(trajectory: Trajectory, tables: Sequence[Series], steps_of_model: np.ndarray | None) -> np.ndarray:
    recorded = [table.steps for table in tables] or [trajectory.steps]
    steps = common_steps(recorded if steps_of_model is None else [*recorded, steps_of_model])
    if not len(steps):
        raise MissingData(
            f"cannot replay {trajectory.source or 'the run'}: no step has all weights and buffers; record whole "
            "snapshots"
        )
    return steps
