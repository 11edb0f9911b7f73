"""Activity of units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trajlab.replays.observers.observer import Batch, Layer, Observer, Output
from trajlab.scan.kernels.activity import ACTIVITY, activity


@dataclass(frozen=True)
class Activity(Observer):
    """Observer: `ACTIVITY` of each unit over all positions of the probe, (unit, column), by name of the layer.

    Parameters
    ----------
    bounds
        By module class, between which values a unit counts as active; above 0 by default.
    """

    bounds: tuple[tuple[str, float, float], ...] = ()

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe a table for each layer."""
        columns = {"column": np.array(ACTIVITY, dtype=object)}
        return {
            layer.name: Output(("unit", "column"), (layer.units, len(ACTIVITY)), coords=columns, attrs=layer.attrs)
            for layer in layers
        }

    def start(self, layers: Sequence[Layer], samples: int) -> list[tuple[Layer, np.ndarray]]:
        """Return sums of 0."""
        return [(layer, np.zeros((layer.units, len(ACTIVITY)))) for layer in layers]

    def add(self, state: list[tuple[Layer, np.ndarray]], number: int, batch: Batch) -> None:
        """Add a batch."""
        layer, sums = state[number]
        known = {name: (low, high) for name, low, high in self.bounds}
        low, high = known.get(layer.attrs.get("module_class", ""), (0.0, np.inf))
        sums += activity(batch.values, 1 + layer.unit_axis, low, high)

    def finish(self, state: list[tuple[Layer, np.ndarray]]) -> Mapping[str, np.ndarray]:
        """Return the tables."""
        return {layer.name: sums for layer, sums in state}
