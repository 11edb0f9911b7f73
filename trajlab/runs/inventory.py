"""What is in a run: steps, gaps, tensors, sizes, and what is missing."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from trajlab.runs.tensors import Tensors
from trajlab.runs.trajectory import Trajectory
from trajlab.schema import SNAPSHOTS_VERSION


@dataclass(frozen=True)
class Inventory:
    """What is in a run, in words and numbers.

    Attributes
    ----------
    facts
        Title and text of each thing worth saying, in order.
    tensors
        Name, kind, shape, stored type, number of snapshots and number of gradient rows of each parameter.
    missing
        A sentence for each thing that a stage may ask for and that is not there, or not whole.
    """

    facts: list[tuple[str, str]]
    tensors: list[tuple[str, str, str, str, int, int]]
    missing: list[str]


def inventory(trajectory: Trajectory) -> Inventory:
    """Take stock of a run from headers alone: no tensor is read."""
    weights, gradients, buffers = trajectory.weights, trajectory.gradients, trajectory.buffers
    steps = trajectory.steps
    gradient_steps = _steps(gradients)
    entries = sum(_numel(life.shape) for life in weights.lives.values())
    types = Counter(life.stored.name for life in weights.lives.values())
    described = trajectory.facts.get("describe", {})
    facts = [
        ("source", trajectory.source),
        *((key, _plain(value)) for key, value in described.items()),
        ("snapshots", _span(steps)),
        ("gaps", _gaps(steps) or "none"),
        ("gradients", _span(gradient_steps) + _sampling(gradients) if len(gradient_steps) else "none"),
        ("parameters", f"{entries:,} entries in {len(weights)} tensors, {', '.join(types) or 'none'}"),
        ("buffers", f"{len(buffers)} tensors"),
        ("metrics", ", ".join(map(str, trajectory.metrics.data_vars)) or "none"),
        ("probe", _probe(trajectory)),
        ("size", _readable(_bytes(weights) + _bytes(gradients) + _bytes(buffers))),
    ]
    tensors = [
        (
            name,
            str(weights[name].attrs.get("kind", "")),
            " × ".join(map(str, life.shape)) or "scalar",
            life.stored.name,
            len(life.steps),
            len(gradients.lives[name].steps) if name in gradients.lives else 0,
        )
        for name, life in weights.lives.items()
    ]
    return Inventory(facts, tensors, _missing(trajectory, steps))


def _missing(trajectory: Trajectory, steps: np.ndarray) -> list[str]:
    notes = list(trajectory.weights.unusable.values())
    for name, life in trajectory.weights.lives.items():
        if len(life.steps) < len(steps):
            absent = np.setdiff1d(steps, life.steps)
            notes.append(f"{name} is missing at {len(absent)} of {len(steps)} snapshots, first at step {absent[0]}.")
    if trajectory.facts.get("format") == SNAPSHOTS_VERSION and trajectory.facts.get("closed", 0) is None:
        notes.append("The run is not finished: its recording was not closed, so there is no closing snapshot.")
    if not trajectory.gradients:
        notes.append("There are no gradients: gradient_statistics, zero_gradients and part of sign_flips need them.")
    else:
        without = [name for name in trajectory.weights if name not in trajectory.gradients]
        if without:
            notes.append(f"{', '.join(without)} never got a gradient.")
    if "inputs" not in trajectory.probe:
        notes.append(
            "There is no probe: stages that replay snapshots need one. Give it with --probe FILE, "
            "or record with Recorder(probe=(inputs, targets))."
        )
    elif "targets" not in trajectory.probe:
        notes.append("The probe has no targets: evaluation needs them.")
    model = trajectory.facts.get("describe", {}).get("model")
    if trajectory.model is None and not (isinstance(model, dict) and "factory" in model):
        notes.append(
            "No model factory is named: stages that replay snapshots need one. Give it with "
            "--model package.module:factory, or record with describe={'model': {'factory': 'module:function'}}."
        )
    return notes


def _steps(tensors: Tensors) -> np.ndarray:
    return np.unique(np.concatenate([life.steps for life in tensors.lives.values()] or [np.empty(0, np.int64)]))


def _span(steps: np.ndarray) -> str:
    if not len(steps):
        return "none"
    if len(steps) == 1:
        return f"1, at step {steps[0]}"
    strides = np.unique(np.diff(steps))
    every = f"every {strides[0]}" if len(strides) == 1 else f"{strides[0]} to {strides[-1]} apart"
    return f"{len(steps):,}, steps {steps[0]:,} to {steps[-1]:,}, {every}"


def _gaps(steps: np.ndarray) -> str:
    """Name the places where steps lie further apart than on both sides: snapshots seem to be missing there."""
    strides = np.diff(steps)
    gaps = [
        f"{steps[i]}–{steps[i + 1]}"
        for i in range(1, len(strides) - 1)
        if strides[i] > strides[i - 1] and strides[i] > strides[i + 1]
    ]
    return ", ".join(gaps[:8]) + (f" and {len(gaps) - 8} more" if len(gaps) > 8 else "")


def _sampling(gradients: Tensors) -> str:
    sampled = [life for life in gradients.lives.values() if life.index is not None]
    if not sampled:
        return ", all entries"
    most = max(len(life.index) for life in sampled if life.index is not None)
    return f", at most {most:,} entries of each tensor"


def _probe(trajectory: Trajectory) -> str:
    probe = trajectory.probe
    kinds = [str(name).removesuffix("inputs") for name in probe if str(name).endswith("inputs")]
    told = []
    for kind in sorted(kinds):
        shape = " × ".join(map(str, probe[f"{kind}inputs"].shape))
        targets = "" if f"{kind}targets" in probe else " without targets"
        sha256 = probe.attrs.get(f"{kind}sha256", "")[:12]
        told.append(f"{kind.rstrip('_')} {shape}{targets}, sha256 {sha256}".lstrip())
    return "; ".join(told) or "none"


def _bytes(tensors: Tensors) -> int:
    return sum(
        len(life.steps) * life.stored.itemsize * (_numel(life.shape) if life.index is None else len(life.index))
        for life in tensors.lives.values()
    )


def _numel(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(one)}" for key, one in value.items() if one not in ({}, None))
    return str(value)


def _readable(size: float) -> str:
    """Write a number of bytes with its unit.

    >>> _readable(26_370_344)
    '26.4 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
