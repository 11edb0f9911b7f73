"""The outputs themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trajlab.replays.observers.observer import Layer, Observer, Output, Seen


@dataclass(frozen=True)
class Raw(Observer):
    """Observer: all that the layers give, (sample, *shape) each, by name of the layer."""

    small: ClassVar[bool] = False

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Say that the outputs are found."""
        return {
            layer.name: Output(("sample", *layer.dims), (samples, *layer.shape), layer.dtype, attrs=layer.attrs)
            for layer in layers
        }

    def start(self, layers: Sequence[Layer], samples: int) -> dict[str, np.ndarray]:
        """Make room for them."""
        return {layer.name: np.empty((samples, *layer.shape), layer.dtype) for layer in layers}

    def add(self, state: dict[str, np.ndarray], place: int, seen: Seen) -> None:
        """Copy those of some samples."""
        room = list(state.values())[place]
        room[seen.first : seen.first + len(seen.values)] = seen.values

    def finish(self, state: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Give them."""
        return state
