"""The state of optimizers, copied while training goes on."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer


def copy_moments(optimizers: Sequence[Optimizer], parameters: Mapping[str, torch.Tensor]) -> list[dict[str, Any]]:
    """Copy the states of optimizers to memory that training does not change, with the names of their parameters.

    Parameters
    ----------
    optimizers
        The optimizers.
    parameters
        The recorded parameters by name; moments of others are left out.

    Returns
    -------
    list of dict
        What `state_dict` returns of each, with `param_names` in each group, as of optimizers that were made with names.
    """
    names = {id(parameter): name for name, parameter in parameters.items()}
    states = []
    for optimizer in optimizers:
        state = optimizer.state_dict()
        for group, of_optimizer in zip(state["param_groups"], optimizer.param_groups, strict=True):
            group["param_names"] = [names.get(id(parameter), "") for parameter in of_optimizer["params"]]
        chosen = {
            key
            for group in state["param_groups"]
            for key, name in zip(group["params"], group["param_names"], strict=True)
            if name
        }
        copies = {key: _copied(entries) for key, entries in state["state"].items() if key in chosen}
        states.append({"state": copies, "param_groups": [_copied(group) for group in state["param_groups"]]})
    return states


def moment_bytes(optimizers: Sequence[Optimizer]) -> int:
    """Return about how many bytes the moments of optimizers take: two of each entry of Adam and its like, else one."""
    return sum(
        parameter.numel() * parameter.element_size() * (2 if "betas" in group else 1)
        for optimizer in optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
    )


def _copied(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.detach().to("cpu", copy=True) if isinstance(value, torch.Tensor) else value
        for name, value in entries.items()
    }
