"""A process that does not write, but takes part in gathering what is sharded."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from trajlab.record.gathering import GradientGathering, is_sharded, whole
from trajlab.record.inventory import take_inventory
from trajlab.record.sampling import sampled_entries


class Witness:
    """Does at each step what the process that writes waits for, in the same order; nothing if no parameter is sharded.

    Parameters
    ----------
    model, parameters, when, gradients, gradients_when, seed
        As the Recorder of the process that writes has them.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        parameters: Sequence[str] | str | None,
        when: Callable[[int], bool],
        gradients: bool | int,
        gradients_when: Callable[[int], bool],
        seed: int,
    ) -> None:
        inventory = take_inventory(model)
        self._inventory = inventory if parameters is None else inventory.choose(parameters)
        self._when = when
        self._gradients_when = gradients_when if gradients is not False else None
        sampled = not isinstance(gradients, bool)
        indices = sampled_entries(self._inventory.parameters, gradients, seed) if sampled else {}
        self._gathering = GradientGathering(self._inventory.parameters, indices, sampled=sampled)

    @torch.no_grad()
    def step(self, step: int) -> None:
        """Take part in gathering a step."""
        if self._when(step):
            self._gather_state()
        if self._gradients_when is not None and self._gradients_when(step):
            self._gathering.read_all()

    def close(self, metrics: Mapping[str, Any]) -> None:
        """Take part in gathering the weights after the last update."""
        self._gather_state()

    def _gather_state(self) -> None:
        for value in self._inventory.tensors().values():
            if is_sharded(value):
                whole(value.detach())
