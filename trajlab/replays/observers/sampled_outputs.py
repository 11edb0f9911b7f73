"""Activations of each unit at a sample of its positions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from trajlab.replays.observers.observer import Batch, Layer, Observer, Output
from trajlab.replays.padding import with_padding_as_nan


@dataclass(frozen=True)
class SampledOutputs(Observer):
    """Observer: about `values` activations of each unit, (unit, sample, position), by layer name.

    Of more positions than fit, some are drawn, the same ones for every sample, unit, step and run. Padding is NaN.

    Parameters
    ----------
    values
        Values of a unit to keep at most, over samples and positions; each sample keeps at least one.
    """

    values: int

    small: ClassVar[bool] = False

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe an array for each layer."""
        return {
            layer.name: Output(
                ("unit", "sample", "position"),
                (layer.units, samples, len(self._positions(layer, samples))),
                _dtype(layer),
                attrs=layer.attrs,
            )
            for layer in layers
        }

    def start(self, layers: Sequence[Layer], samples: int) -> list[Any]:
        """Allocate the values."""
        picked = [self._positions(layer, samples) for layer in layers]
        return [
            (layer, positions, np.empty((layer.units, samples, len(positions)), _dtype(layer)))
            for layer, positions in zip(layers, picked, strict=True)
        ]

    def add(self, state: list[Any], number: int, batch: Batch) -> None:
        """Copy those of a batch."""
        layer, positions, room = state[number]
        values = np.moveaxis(with_padding_as_nan(batch.values, layer, batch.kept), 1 + layer.unit_axis, 0)
        values = values.reshape(*values.shape[:2], -1)
        room[:, batch.first : batch.first + values.shape[1]] = values[:, :, positions]

    def finish(self, state: list[Any]) -> Mapping[str, np.ndarray]:
        """Return them."""
        return {layer.name: room for layer, _, room in state}

    def _positions(self, layer: Layer, samples: int) -> np.ndarray:
        count = int(np.prod(layer.shape)) // max(layer.units, 1)
        most = max(1, self.values // max(samples, 1))
        if count <= most:
            return np.arange(count)
        return np.sort(np.random.default_rng(0).permutation(count)[:most])


def _dtype(layer: Layer) -> np.dtype:
    """Return the element type of the values: that of the layer, but one with NaN if there is padding."""
    return np.result_type(layer.dtype, np.float32) if layer.mask else layer.dtype
