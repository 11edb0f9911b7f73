"""Objectives that a backward pass differentiates: one number per sample, summed over the samples of a batch."""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from trajlab.errors import BadSetting, MissingData
from trajlab.replays.observers.observer import Objective
from trajlab.statistics.logits import are_probabilities
from trajlab.statistics.tasks import BINARY, CROSS_ENTROPY, MULTILABEL, SOFT, Coding, Task, settled, task_for

Outputs = Callable[[str], torch.Tensor]
"""Gives the output of a layer by its name, and that of the network by the empty name."""

KINDS = ("loss", "logit", "p_logit", "predicted_logit", "unit")


def value_of(
    objective: Objective, outputs: Outputs, targets: torch.Tensor | None, first: int, coding: Coding, ends_in: str = ""
) -> torch.Tensor:
    """Return the objective of a batch.

    Parameters
    ----------
    objective
        The objective.
    outputs
        Gives the outputs of the batch.
    targets
        Labels or values of the batch, if there are any.
    first
        Position of the first sample of the batch in the probe.
    coding
        How labels of two values are written, as the targets of the whole probe tell.
    ends_in
        The softmax or sigmoid that the network ends in, if it does; logits are then those of its probabilities.

    Raises
    ------
    BadSetting
        There is no such objective, or the targets do not fit the outputs.
    MissingData
        It takes targets, and there are none.
    """
    if objective.kind == "unit":
        return _unit(outputs(objective.layer), objective.units[first:])
    if objective.kind not in KINDS:
        raise BadSetting(f"cannot differentiate {objective.kind!r}; choose one of {', '.join(KINDS)}")
    output = outputs("")
    if targets is None:
        raise MissingData(
            f"cannot differentiate the {objective.kind}: the probe has no targets; record with "
            "Recorder(probe=(inputs, targets))"
        )
    output = output[:, None] if output.ndim == 1 else output
    task, axis = _task(output, targets, coding, objective.task)
    kind = settled(task, coding, tuple(targets.shape), tuple(output.shape), axis)
    if kind not in (CROSS_ENTROPY, BINARY) and objective.kind != "loss":
        raise BadSetting(
            f"cannot differentiate the {objective.kind}: outputs have shape {list(output.shape)} and targets "
            f"{targets.dtype} {list(targets.shape)}, no label of a class each; choose the loss, or pass class labels"
        )
    if are_probabilities(ends_in, kind):
        output = _logits_of(output, kind)
    if kind == CROSS_ENTROPY:
        return _of_labels(objective.kind, output.movedim(axis, -1), targets.long())
    if kind == SOFT:
        each = -(targets.to(output.dtype) * F.log_softmax(output, axis)).sum(axis)
        return each.reshape(len(output), -1).mean(1).sum()
    if kind in (BINARY, MULTILABEL):
        return _of_logits(objective.kind, output, targets.reshape(output.shape), coding)
    squares = (output - targets.reshape(output.shape).to(output.dtype)) ** 2
    return squares.reshape(len(output), -1).mean(1).sum()


def _logits_of(probabilities: torch.Tensor, kind: str) -> torch.Tensor:
    """Return logits, as `trajlab.statistics.logits.logits_of` does."""
    tiny = torch.finfo(probabilities.dtype).tiny
    log = probabilities.clamp(min=tiny).log()
    return log if kind in (CROSS_ENTROPY, SOFT) else log - (1 - probabilities).clamp(min=tiny).log()


def _task(output: torch.Tensor, targets: torch.Tensor, coding: Coding, asked: str) -> tuple[Task, int]:
    """Return the task, and the axis of the outputs over the classes: the last, or in maps that of the channels.

    Targets that are probabilities sum to one over the classes, which tells the axis.
    """
    axes = (1, -1) if output.ndim > 2 and output.shape[1] == 1 else (-1, 1) if output.ndim > 2 else (-1,)
    errors = []
    for axis in sorted(axes, key=lambda axis: axis % output.ndim not in coding.simplex):
        try:
            return task_for(tuple(output.shape), axis % output.ndim, targets, asked), axis
        except BadSetting as error:
            errors.append(error)
    raise errors[0]


def _of_logits(kind: str, logits: torch.Tensor, labels: torch.Tensor, coding: Coding) -> torch.Tensor:
    """Return the sum over the samples of the mean over their outputs, with a label of two values for each.

    The logit of the negative label is −z, so that its probability is σ(−z).
    """
    positive = labels == 1
    is_label = positive | (labels == coding.negative)
    chosen = logits.abs() if kind == "predicted_logit" else torch.where(positive, logits, -logits)
    each = {"loss": F.softplus(-chosen), "p_logit": torch.sigmoid(chosen).detach() * chosen}.get(kind, chosen)
    return _mean(each, is_label)


def _mean(each: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Return the sum over the samples of the mean over what is known of each."""
    each = torch.where(counted, each, 0.0).reshape(len(each), -1)
    return (each.sum(1) / counted.reshape(len(counted), -1).sum(1).clamp(min=1)).sum()


def _of_labels(kind: str, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the sum over the samples of the mean over their positions; labels of no class count nothing."""
    classes = logits.shape[-1]
    is_class = (labels >= 0) & (labels < classes)
    labels = logits.argmax(-1) if kind == "predicted_logit" else torch.where(is_class, labels, 0).long()
    chosen = logits.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    logp = F.log_softmax(logits, -1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    each = {"loss": -logp, "logit": chosen, "p_logit": logp.exp().detach() * chosen, "predicted_logit": chosen}[kind]
    return _mean(each, is_class)


def _unit(output: torch.Tensor, units: tuple[int, ...]) -> torch.Tensor:
    """Return the sum over the samples of the mean output of a unit of each; output is (sample, unit, position)."""
    chosen = torch.tensor(units[: len(output)], device=output.device)
    return output[torch.arange(len(output), device=output.device), chosen].mean(-1).sum()
