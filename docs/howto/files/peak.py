"""The largest activation of each unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trajlab import Observer, Output


@dataclass(frozen=True)
class Peak(Observer):
    """Keep the largest activation of each unit over the probe."""

    def outputs(self, layers: Sequence[Any], samples: int) -> dict[str, Output]:
        """Return dims and shape of what each layer is reduced to."""
        return {layer.name: Output(("unit",), (layer.units,)) for layer in layers}

    def start(self, layers: Sequence[Any], samples: int) -> dict[str, np.ndarray]:
        """Return the state before the first batch."""
        return {layer.name: np.full(layer.units, -np.inf) for layer in layers}

    def add(self, state: dict[str, np.ndarray], number: int, batch: Any) -> None:
        """Take in one batch of one layer; the values of layers without positions are (sample, unit)."""
        peak = list(state.values())[number]
        np.maximum(peak, batch.values.max(0), out=peak)

    def finish(self, state: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return the numbers of each layer."""
        return state
