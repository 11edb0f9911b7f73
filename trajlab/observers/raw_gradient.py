"""Gradients by the outputs of layers, or by the inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trajlab.observers import Layer, Objective, Observer, Output, Seen


@dataclass(frozen=True)
class RawGradient(Observer):
    """Observer: the derivative of an objective by all that the layers give, (sample, *shape), by name of the layer.

    Parameters
    ----------
    objective
        What is derived.
    """

    objective: Objective = Objective()
    small: ClassVar[bool] = False
    takes_values: ClassVar[bool] = False

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Say that there is a gradient for each layer."""
        return {
            layer.name: Output(("sample", *layer.dims), (samples, *layer.shape), layer.dtype, attrs=layer.attrs)
            for layer in layers
        }

    def start(self, layers: Sequence[Layer], samples: int) -> dict[str, np.ndarray]:
        """Make room for them."""
        return {layer.name: np.empty((samples, *layer.shape), layer.dtype) for layer in layers}

    def add(self, state: dict[str, np.ndarray], place: int, seen: Seen) -> None:
        """Copy those of some samples."""
        assert seen.gradient is not None
        list(state.values())[place][seen.first : seen.first + len(seen.gradient)] = seen.gradient

    def finish(self, state: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Give them."""
        return state
