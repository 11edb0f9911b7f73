"""The network below adapters that were saved alone, as peft saves them: its weights are those that the model brings."""

import re
from collections.abc import Mapping
from functools import cache

import numpy as np
from torch import nn

from trajlab.runs.tensors import Series
from trajlab.runs.trajectory import Trajectory
from trajlab.terminal import say

ADAPTER = re.compile(r"(?<=\.)(lora_\w+)\.[^.]+(?=\.weight$|$)|\.modules_to_save\.[^.]+")
"""Where peft writes the name of an adapter into the name of a tensor, which files lack."""


def saved_name(name: str) -> str:
    """Return the name under which peft saves a tensor of an adapter; other names as they are.

    >>> saved_name("q_proj.lora_A.default.weight"), saved_name("score.modules_to_save.default.bias")
    ('q_proj.lora_A.weight', 'score.bias')
    """
    return ADAPTER.sub(lambda match: match[1] or "", name)


def holds_adapters_only(trajectory: Trajectory) -> bool:
    """Return whether a run was saved by peft: adapters, and the modules that are trained beside them."""
    return bool(trajectory.facts.get("adapter_config"))


def base_weights(model: nn.Module, trajectory: Trajectory, homes: Mapping[str, str]) -> dict[str, Series]:
    """Return the tensors of a model that its run lacks, the same at every step, by name; say how many there are.

    Parameters
    ----------
    model
        The network, with its values.
    trajectory
        The run.
    homes
        Recorded tensor, or name of the model's own, by name in the model, as `trajlab.replays.model.fit` returns them.
    """
    recorded = {*trajectory.weights.series, *trajectory.buffers.series}
    base, steps = {}, trajectory.steps
    for name, value in model.state_dict().items():
        if name in homes and homes[name] not in recorded:
            values = (value.float() if value.is_floating_point() else value).cpu().numpy()
            base[name] = Series(steps, np.broadcast_to(values, (len(steps), *values.shape)), values.shape)
    if base:
        _say_base(str(trajectory.source or "the run"), len(base))
    return base


@cache
def _say_base(source: str, count: int) -> None:
    say(f"{source} holds adapters only: the other {count} tensors are as model= (--model) builds them")
