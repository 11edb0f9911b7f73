"""Weights of the base network of adapters that peft saved alone: they are taken from the model."""

import re
from collections.abc import Collection, Mapping
from functools import cache

import numpy as np
from torch import nn

from trajlab.replays.dtypes import as_array
from trajlab.runs.tensors import Series
from trajlab.runs.trajectory import Trajectory
from trajlab.terminal import say

ADAPTER = re.compile(r"(?<=\.)(lora_\w+)\.[^.]+(?=\.weight$|$)|\.modules_to_save\.[^.]+")
"""Parts of tensor names in peft's networks that name the adapter; names in its files lack them."""


def saved_name(name: str) -> str:
    """Return the name under which peft saves a tensor of an adapter; return other names unchanged.

    >>> saved_name("q_proj.lora_A.default.weight"), saved_name("score.modules_to_save.default.bias")
    ('q_proj.lora_A.weight', 'score.bias')
    """
    return ADAPTER.sub(lambda match: match[1] or "", name)


def holds_adapters_only(trajectory: Trajectory) -> bool:
    """Return whether peft saved a run: it holds adapters and the modules trained beside them, not the base network."""
    return bool(trajectory.facts.get("adapter_config"))


def base_weights(
    model: nn.Module, trajectory: Trajectory, homes: Mapping[str, str], recorded: Collection[str]
) -> dict[str, Series]:
    """Return the tensors of a model that its run lacks, by name, the same at every step; print how many there are.

    Parameters
    ----------
    model
        The network, with its values.
    trajectory
        The run.
    homes
        For each name in the model, the name of the recorded tensor, or of the model's own; see
        `trajlab.replays.model.fit`.
    recorded
        Names of the recorded tensors.
    """
    base, steps = {}, trajectory.steps
    for name, value in model.state_dict().items():
        if name in homes and homes[name] not in recorded:
            values = as_array(value)
            base[name] = Series(steps, np.broadcast_to(values, (len(steps), *values.shape)), values.shape)
    if base:
        _say_base(str(trajectory.source or "the run"), len(base))
    return base


@cache
def _say_base(source: str, count: int) -> None:
    say(
        f"{source} holds adapters only: the other {count} tensors are those of the network that model= (--model) builds"
    )
