"""Objectives that a backward pass differentiates: one number per sample, summed over the samples of a batch."""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from trajlab.errors import BadSetting, MissingData
from trajlab.replays.observers.observer import Objective

Outputs = Callable[[str], torch.Tensor]
"""Gives the output of a layer by its name, and that of the network by the empty name."""

KINDS = ("loss", "logit", "p_logit", "predicted_logit", "unit")


def value_of(objective: Objective, outputs: Outputs, targets: torch.Tensor | None, first: int) -> torch.Tensor:
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
    if not targets.is_floating_point() and targets.shape == output.shape[:-1]:
        return _of_labels(objective.kind, output, targets)
    if not targets.is_floating_point() and output.ndim > 2 and targets.shape == (len(output), *output.shape[2:]):
        return _of_labels(objective.kind, output.movedim(1, -1), targets)
    if objective.kind == "loss" and targets.is_floating_point() and targets.numel() == output.numel():
        squares = (output - targets.reshape(output.shape).to(output.dtype)) ** 2
        return squares.reshape(len(output), -1).mean(1).sum()
    raise BadSetting(
        f"cannot differentiate the {objective.kind}: outputs have shape {list(output.shape)} and targets "
        f"{targets.dtype} {list(targets.shape)}; pass class labels, or for the loss values of the outputs' shape"
    )


def _of_labels(kind: str, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the sum over the samples of the mean over their positions; labels of no class count nothing."""
    classes = logits.shape[-1]
    known = (labels >= 0) & (labels < classes)
    labels = logits.argmax(-1) if kind == "predicted_logit" else torch.where(known, labels, 0).long()
    own = logits.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    logp = F.log_softmax(logits, -1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    each = {"loss": -logp, "logit": own, "p_logit": logp.exp() * own, "predicted_logit": own}[kind]
    each = torch.where(known, each, 0.0).reshape(len(logits), -1)
    return (each.sum(1) / known.reshape(len(logits), -1).sum(1).clamp(min=1)).sum()


def _unit(output: torch.Tensor, units: tuple[int, ...]) -> torch.Tensor:
    """Return the sum over the samples of the mean output of a unit of each; output is (sample, unit, position)."""
    chosen = torch.tensor(units[: len(output)], device=output.device)
    return output[torch.arange(len(output), device=output.device), chosen].mean(-1).sum()
