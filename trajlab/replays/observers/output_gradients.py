"""Gradients by the outputs of layers, or by the inputs."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trajlab.replays.observers.observer import Objective, Seen
from trajlab.replays.observers.outputs import Raw


@dataclass(frozen=True)
class RawGradient(Raw):
    """Observer: the derivative of an objective by all that the layers give, (sample, *shape), by name of the layer.

    Parameters
    ----------
    objective
        What is derived.
    """

    objective: Objective = Objective()
    takes_values: ClassVar[bool] = False

    def add(self, state: dict[str, np.ndarray], place: int, seen: Seen) -> None:
        """Copy those by some samples."""
        assert seen.gradient is not None
        super().add(state, place, seen._replace(values=seen.gradient))
