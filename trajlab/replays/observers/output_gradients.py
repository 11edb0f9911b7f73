"""Gradients with respect to the outputs of layers, or to the inputs."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trajlab.replays.observers.observer import Batch, Objective
from trajlab.replays.observers.outputs import Outputs


@dataclass(frozen=True)
class OutputGradients(Outputs):
    """Observer: the gradient of an objective with respect to the outputs of layers, (sample, *shape), by layer name.

    Parameters
    ----------
    objective
        What is differentiated.
    """

    objective: Objective = Objective()
    takes_values: ClassVar[bool] = False

    def add(self, state: dict[str, np.ndarray], number: int, batch: Batch) -> None:
        """Copy those of a batch."""
        assert batch.gradient is not None
        super().add(state, number, batch._replace(values=batch.gradient))
