"""The inputs of a stage: its positional parameters, and what a run has under their names."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import xarray as xr

from trajlab import sizes
from trajlab.errors import BadSetting, MissingInput
from trajlab.replays.model_facts import lacks_model, lacks_probe
from trajlab.runs.adapters import adapter_updates
from trajlab.runs.trajectory import Trajectory

TENSORS = {
    "weight": "weights", "gradient": "gradients", "buffer": "buffers", "activation": "activations",
    "adapter": "adapters",
}  # fmt: skip
"""Inputs of one tensor, and the inputs of all of them."""

PREFIXES = ("parent_", "other_", "between_", "aligned_")
"""Prefixes of inputs from another run, or from the line between two."""

REMEDIES = {
    "weights": "Name a run with snapshots of the weights.",
    "gradients": "Record with Recorder(gradients=True), or choose a stage that needs weights only.",
    "buffers": "Choose a stage that needs no buffers.",
    "activations": "Name a model and a probe: --model package.module:factory --probe FILE, or model= and probe= in "
    "Python; or record with Recorder(probe=...) and describe={'model': {'factory': 'module:function'}}.",
    "adapters": "Name a run with LoRA adapters, recorded, or with adapter_config.json beside the weights.",
    "moments": "Name a folder whose checkpoints keep the state of the optimizer, as the Trainer's optimizer.pt does; "
    "the message says what of it could not be matched.",
    "hyperparameters": "Name a folder whose checkpoints keep the state of the optimizer.",
    "metrics": "Record with recorder.step(loss=...).",
    "probe": "Name one with --probe FILE, or probe= in Python; or record with Recorder(probe=...).",
    "chain": "Record snapshots of the weights.",
    "replay": "Name one with --model package.module:factory, or model= in Python; or record with "
    "Recorder(describe={'model': {'factory': 'module:function'}}).",
}


def stage_name(function: Callable) -> str:
    """Return the name of a stage: a function, a partial function, or a callable object."""
    function = getattr(function, "func", function)
    return str(getattr(function, "__name__", type(function).__name__))


def needs_of(function: Callable) -> dict[str, inspect.Parameter]:
    """Return the parameters by which a stage asks for data: the positional ones."""
    parameters = inspect.signature(function).parameters
    return {name: p for name, p in parameters.items() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)}


def needs_replay(function: Callable) -> bool:
    """Return whether a stage may need a network or a probe; one that asks for weights alone can run on activations."""
    inputs = {without_prefix(name).rstrip("s") for name in needs_of(function)}
    return bool(inputs & {"activation", "replay", "probe", "chain"}) or inputs <= {"weight", "metric"}


def without_prefix(name: str) -> str:
    """Return the name of an input without the run that it comes from."""
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
    return name.removeprefix(prefix)


class Inputs:
    """Look up the inputs of a stage in runs, each once.

    Parameters
    ----------
    stage
        Name of the stage.
    on
        Tensors that take the place of weights.
    """

    def __init__(self, stage: str, on: str | None = None):
        self.stage = stage
        self.on = on
        self._cache: dict[tuple[int, str], tuple[Trajectory, Any]] = {}

    def get(self, name: str, runs: Mapping[str, Trajectory | None], *, required: bool) -> Any:
        """Return the value of a parameter of the stage, None if it is optional and missing.

        Parameters
        ----------
        name
            Name of the parameter.
        runs
            Runs by the prefix of the parameters that ask for them.
        required
            Whether it must exist.

        Raises
        ------
        BadSetting
            There are no such inputs.
        MissingData
            It is required and missing.
        """
        kind = without_prefix(name)
        prefix, group = name.removesuffix(kind), TENSORS.get(kind, kind)
        if group not in REMEDIES:
            raise BadSetting(
                f"{self.stage} asks for {name!r}, which no run has; name the parameter "
                f"{', '.join([*TENSORS, *REMEDIES])}, or one of these after {', '.join(PREFIXES)}; or make it "
                "keyword-only if it is a setting"
            )
        if self.on is not None and group == "weights":
            group = self.on
        source = runs.get(prefix)
        value = None if source is None else self._cached(source, group)
        if value is not None and self.on == "activations" and TENSORS.get(kind, kind) == "weights":
            value = tensors_of(value)
        if callable(value) or (value is not None and len(value)):
            return value
        if not required:
            return None
        reason = f"there is no {prefix.rstrip('_')}" if source is None else _lacking(source, group)
        path = next((run.source for run in (source, runs[""]) if run is not None), "") or "the run"
        raise MissingInput(f"{self.stage} needs {name} of {path}; {reason}. {REMEDIES[group]}", reason)

    def _cached(self, source: Trajectory, group: str) -> Any:
        key = id(source), group
        if key not in self._cache:
            self._cache[key] = source, self._look_up(source, group)  # keeps the run, so that no other gets its id
        return self._cache[key][1]

    def _look_up(self, source: Trajectory, group: str) -> Any:
        if group == "activations":
            if lacks_probe(source) or lacks_model(source):
                return None
            return _replay(source)
        if group == "replay":
            return None if lacks_model(source) else partial(_replay, source)
        if group == "chain":
            from trajlab.replays.permutable import chain

            return chain(source)
        if group == "adapters":
            return adapter_updates(source)
        if group == "buffers":
            return {name: array for name, array in source.buffers.items() if array.dtype.kind != "c"}
        if group in ("moments", "hyperparameters"):
            return getattr(source.optimizer, group)
        return getattr(source, group)


def _replay(source: Trajectory, **options: Any) -> Any:
    """Replay a run; imports torch only when a stage asks for a pass, which it does not without a probe."""
    from trajlab.replays.replay import replay

    return replay(source, **options)


def check_on(stage: str, on: str, needs: Iterable[str]) -> None:
    """Refuse to run a stage on tensors that cannot take the place of its weights.

    Raises
    ------
    BadSetting
        There are no such tensors, the stage does not ask for weights, or it asks for more than activations can give.
    """
    if on not in TENSORS.values():
        raise BadSetting(f"cannot compute {stage} on {on!r}; choose {', '.join(TENSORS.values())}")
    groups = {TENSORS.get(name, name) for name in map(without_prefix, needs)}
    if "weights" not in groups:
        raise BadSetting(f"cannot compute {stage} on {on}: it asks for no weights; leave on= (--on) out")
    others = groups - {"weights", "metrics", "probe"}
    if on == "activations" and others:
        raise BadSetting(
            f"cannot compute {stage} on activations: it also asks for {', '.join(sorted(others))}, which belong to "
            "parameters; leave on= (--on) out"
        )


def tensors_of(activations: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """Return the activations of layers as tensors that take the place of weights, (step, sample, …) each.

    A pass gives all layers of a snapshot at once: blocks hold so few steps that those of all layers fit into memory.
    Padding is left out; each token then counts as a sample.
    """
    snapshot = sum(array.nbytes // max(array.sizes["step"], 1) for array in activations.values())
    steps = max(1, sizes.BLOCK_BYTES // max(snapshot, 1))
    tensors = {}
    tokens = getattr(activations, "tokens", {})
    for name, array in activations.items():
        array = _without_padding(array, *tokens[name]) if name in tokens else array
        array = array.assign_attrs(kind="activation", shape=array.shape[1:])
        array.encoding["block_steps"] = steps
        tensors[name or "output"] = array
    return tensors


def _without_padding(array: xr.DataArray, dim: str, is_token: Any) -> xr.DataArray:
    """Return activations with each token as a sample, (step, token, …) with dim `sample`, without padding; lazily.

    Parameters
    ----------
    array
        The activations, (step, sample, …).
    dim
        The dim of the positions.
    is_token
        Which positions hold tokens, (sample, position).
    """
    array = array.transpose("step", "sample", dim, ...)
    flat = array.data.reshape(array.shape[0], array.shape[1] * array.shape[2], *array.shape[3:])
    dims = [name for name in array.dims if name != dim]
    coords = {"step": array["step"]}
    return xr.DataArray(flat[:, is_token.reshape(-1).nonzero()[0]], coords, dims, array.name, array.attrs)


def _lacking(source: Trajectory, group: str) -> str:
    """Write what a run lacks that an input needs."""
    if group == "moments" and source.optimizer.left_out:
        name, why = next(iter(source.optimizer.left_out.items()))
        return f"no moment of its optimizer could be matched: {name}: {why}"
    if group not in ("replay", "activations"):
        if group == "probe":
            return "it has no probe"
        return f"there is no {group}" if group == "chain" else f"there are no {group}"
    if source.facts.get("not_recorded"):
        return f"only some of its parameters were recorded, not {', '.join(source.facts['not_recorded'][:3])}"
    lacks = ["neither the run nor --model names its network"] if lacks_model(source) else []
    lacks += ["it has no probe"] if lacks_probe(source) and group != "replay" else []
    return " and ".join(lacks) or "no module of its network is an activation"
