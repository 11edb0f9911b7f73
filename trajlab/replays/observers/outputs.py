"""The outputs of layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trajlab.replays.observers.observer import Batch, Layer, Observer, Output


@dataclass(frozen=True)
class Outputs(Observer):
    """Observer: the outputs of layers, (sample, *shape) each, by layer name."""

    small: ClassVar[bool] = False
    takes_padding: ClassVar[bool] = True

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe the outputs."""
        return {
            layer.name: Output(("sample", *layer.dims), (samples, *layer.shape), layer.dtype, attrs=layer.attrs)
            for layer in layers
        }

    def start(self, layers: Sequence[Layer], samples: int) -> dict[str, np.ndarray]:
        """Allocate them."""
        return {layer.name: np.empty((samples, *layer.shape), layer.dtype) for layer in layers}

    def add(self, state: dict[str, np.ndarray], number: int, batch: Batch) -> None:
        """Copy those of a batch."""
        room = list(state.values())[number]
        room[batch.first : batch.first + len(batch.values)] = batch.values

    def finish(self, state: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return them."""
        return state
