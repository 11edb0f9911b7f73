"""Inventory of a run: steps, gaps, tensors, sizes, and what is missing."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from trajlab.errors import first_of
from trajlab.runs.optimizer import split_name
from trajlab.runs.tensors import Tensors
from trajlab.runs.trajectory import Trajectory
from trajlab.runs.transformers_model import architecture_class
from trajlab.schema import SNAPSHOTS_VERSION

SHOWN = 4
"""Most tensors that a note names."""


@dataclass(frozen=True)
class Inventory:
    """Inventory of a run.

    Attributes
    ----------
    facts
        Title and text of each property, in order.
    tensors
        Name, kind, shape, stored type, number of snapshots and number of gradient rows of each parameter.
    missing
        A sentence for each input of stages that the run lacks in whole or in part.
    """

    facts: list[tuple[str, str]]
    tensors: list[tuple[str, str, str, str, int, int]]
    missing: list[str]


def inventory(trajectory: Trajectory) -> Inventory:
    """Return the inventory of a run, read from headers alone: no tensor is read."""
    weights, gradients, buffers = trajectory.weights, trajectory.gradients, trajectory.buffers
    steps = trajectory.steps
    gradient_steps = gradients.steps
    entries = sum(_numel(series.shape) for series in weights.series.values())
    types = Counter(name for series in weights.series.values() for name in series.type_names.split(", "))
    described = trajectory.facts.get("describe", {})
    facts = [
        ("source", trajectory.source),
        *((key, _fact_text(value)) for key, value in described.items()),
        ("snapshots", _span(steps)),
        *([("step", f"step = {trajectory.step_source}")] if trajectory.step_source else []),
        ("gaps", _gaps(steps) or "none"),
        ("gradients", _span(gradient_steps) + _sampling(gradients) if len(gradient_steps) else "none"),
        ("parameters", f"{entries:,} entries in {len(weights)} tensors, {', '.join(types) or 'none'}"),
        ("buffers", f"{len(buffers)} tensors"),
        ("optimizer state", _optimizer(trajectory)),
        ("metrics", ", ".join(map(str, trajectory.metrics.data_vars)) or "none"),
        ("probe", _probe(trajectory)),
        ("size", _readable(_bytes(weights) + _bytes(gradients) + _bytes(buffers))),
    ]
    tensors = [
        (
            name,
            str(weights[name].attrs.get("kind", "")),
            " × ".join(map(str, series.shape)) or "scalar",
            series.type_names,
            len(series.steps),
            len(gradients.series[name].steps) if name in gradients.series else 0,
        )
        for name, series in weights.series.items()
    ]
    return Inventory(facts, tensors, _missing(trajectory, steps))


def _missing(trajectory: Trajectory, steps: np.ndarray) -> list[str]:
    notes = [f"{name} is left out: {reason}." for name, reason in trajectory.weights.omitted.items()]
    if trajectory.chosen_by:
        others = len(trajectory.buffers)
        notes.append(
            f"Parameters are the tensors that match {trajectory.chosen_by!r}; {others} others are kept as buffers."
        )
    if not trajectory.optimizer_source:
        notes += [
            f"Of the optimizer, {name} {'are' if name.startswith('parameters ') else 'is'} left out: {reason}."
            for name, reason in trajectory.optimizer.left_out.items()
        ]
    notes += [f"{name} is left aside: {reason}." for name, reason in trajectory.left_aside.items()]
    for name, series in trajectory.weights.series.items():
        if len(series.steps) < len(steps):
            absent = np.setdiff1d(steps, series.steps)
            notes.append(f"{name} is missing at {len(absent)} of {len(steps)} snapshots, first at step {absent[0]}.")
    if trajectory.facts.get("format") == SNAPSHOTS_VERSION and trajectory.facts.get("closed", 0) is None:
        notes.append("The run is not finished: its recording was not closed, so there is no closing snapshot.")
    if not trajectory.gradients:
        notes.append("There are no gradients: gradient_statistics, zero_gradients and part of sign_flips need them.")
    else:
        without = [name for name in trajectory.weights if name not in trajectory.gradients]
        if without:
            frozen_names = [name for name in without if name in set(trajectory.facts.get("frozen") or ())]
            lacking = [name for name in without if name not in set(frozen_names)]
            total = len(trajectory.weights)
            if lacking:
                notes.append(f"{first_of(lacking, SHOWN)} never had a gradient ({len(lacking)} of {total} tensors).")
            if frozen_names:
                names = first_of(frozen_names, SHOWN)
                notes.append(f"{names} had no gradient, as frozen ({len(frozen_names)} of {total} tensors).")
    if "inputs" not in trajectory.probe:
        notes.append(
            "There is no probe: stages that replay snapshots need one. Pass it with --probe FILE, "
            "or record with Recorder(probe=(inputs, targets))."
        )
    elif "targets" not in trajectory.probe:
        notes.append("The probe has no targets: evaluation needs them.")
    model = trajectory.facts.get("describe", {}).get("model")
    is_named = isinstance(model, dict) and "factory" in model
    if trajectory.model is None and not is_named and not architecture_class(trajectory.facts):
        notes.append(
            "No model factory is named: stages that replay snapshots need one. Pass it with "
            "--model package.module:factory, or record with describe={'model': {'factory': 'module:function'}}."
        )
    return notes


def _optimizer(trajectory: Trajectory) -> str:
    """Return which moments of how many parameters the state of the optimizer has, and at which snapshots.

    A state that was not read yet is not read for it: its names may need the network.
    """
    if trajectory.optimizer_source:
        return trajectory.optimizer_source
    state = trajectory.optimizer
    if not len(state):
        return "none"
    names = [split_name(name) for name in state.tensors]
    entries = ", ".join(dict.fromkeys(entry for _, entry in names))
    parameters = len({parameter for parameter, _ in names})
    return f"{entries} of {parameters} of {len(trajectory.weights)} tensors at {_span(state.steps)}"


def _span(steps: np.ndarray) -> str:
    if not len(steps):
        return "none"
    if len(steps) == 1:
        return f"1, at step {steps[0]}"
    strides = np.unique(np.diff(steps))
    every = f"every {strides[0]}" if len(strides) == 1 else f"{strides[0]} to {strides[-1]} apart"
    return f"{len(steps):,}, steps {steps[0]:,} to {steps[-1]:,}, {every}"


def _gaps(steps: np.ndarray) -> str:
    """Return where steps lie further apart than on both sides, so that snapshots seem to be missing."""
    strides = np.diff(steps)
    gaps = [
        f"{steps[i]}–{steps[i + 1]}"
        for i in range(1, len(strides) - 1)
        if strides[i] > strides[i - 1] and strides[i] > strides[i + 1]
    ]
    return ", ".join(gaps[:8]) + (f" and {len(gaps) - 8} more" if len(gaps) > 8 else "")


def _sampling(gradients: Tensors) -> str:
    sampled = [series for series in gradients.series.values() if series.index is not None]
    if not sampled:
        return ", all entries"
    most = max(len(series.index) for series in sampled if series.index is not None)
    return f", at most {most:,} entries of each tensor"


def _probe(trajectory: Trajectory) -> str:
    probe = trajectory.probe
    kinds = [str(name).removesuffix("inputs") for name in probe if str(name).endswith("inputs")]
    texts = []
    for kind in sorted(kinds):
        shape = " × ".join(map(str, probe[f"{kind}inputs"].shape))
        targets = "" if f"{kind}targets" in probe else " without targets"
        sha256 = probe.attrs.get(f"{kind}sha256", "")[:12]
        texts.append(f"{kind.rstrip('_')} {shape}{targets}, sha256 {sha256}".lstrip())
    return "; ".join(texts) or "none"


def _bytes(tensors: Tensors) -> int:
    return sum(
        len(series.steps)
        * series.stored.itemsize
        * (_numel(series.shape) if series.index is None else len(series.index))
        for series in tensors.series.values()
    )


def _numel(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _fact_text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_fact_text(item)}" for key, item in value.items() if item not in ({}, None))
    return str(value)


def _readable(size: float) -> str:
    """Format a number of bytes with its unit.

    >>> _readable(26_370_344)
    '26.4 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
