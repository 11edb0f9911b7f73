"""Mean activation of each unit for each sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trajlab.replays.observers.observer import Batch, Layer, Observer, Output


@dataclass(frozen=True)
class Pooled(Observer):
    """Observer: the mean of each unit over its positions, (sample, unit) float64, by name of the layer.

    The mean over the map of a channel, as global average pooling gives it, makes layers of different resolution
    comparable. A map with a value that is NaN or Inf has no mean, NaN.
    """

    small: ClassVar[bool] = False

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe a matrix for each layer."""
        return {layer.name: Output(("sample", "unit"), (samples, layer.units), attrs=layer.attrs) for layer in layers}

    def start(self, layers: Sequence[Layer], samples: int) -> list[tuple[Layer, np.ndarray]]:
        """Allocate the means."""
        return [(layer, np.empty((samples, layer.units))) for layer in layers]

    def add(self, state: list[tuple[Layer, np.ndarray]], number: int, batch: Batch) -> None:
        """Add the means of a batch."""
        layer, means = state[number]
        values = np.moveaxis(batch.values, 1 + layer.unit_axis, 1)
        with np.errstate(invalid="ignore", over="ignore"):
            mean = values.reshape(*values.shape[:2], -1).mean(2, dtype=np.float64)
        means[batch.first : batch.first + len(mean)] = np.where(np.isfinite(mean), mean, np.nan)

    def finish(self, state: list[tuple[Layer, np.ndarray]]) -> Mapping[str, np.ndarray]:
        """Return the matrices."""
        return {layer.name: means for layer, means in state}
