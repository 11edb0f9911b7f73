"""What a pruned network gives, and how much of it was pruned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trajlab.replays.observers.observer import Layer, Output, Seen
from trajlab.replays.observers.outputs import Raw

COUNTS = ("zeros", "entries")


@dataclass(frozen=True)
class Pruned(Raw):
    """Observer of a whole network: its output, and how many of the entries of its weights are `zeros`.

    Weights are parameters of two dims or more; tied ones count once. After pruning by threshold, the zeros are the
    entries below it.
    """

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Say that the outputs are found, and two counts."""
        return super().outputs(layers, samples) | {name: Output((), ()) for name in COUNTS}

    def start(self, layers: Sequence[Layer], samples: int) -> dict[str, np.ndarray]:
        """Make room for them."""
        return super().start(layers, samples) | {name: np.zeros(()) for name in COUNTS}

    def add(self, state: dict[str, np.ndarray], place: int, seen: Seen) -> None:
        """Copy the outputs of some samples; count in the first batch."""
        super().add(state, place, seen)
        if seen.first == 0:
            weights = [values for values in seen.parameters.values() if values.ndim > 1]
            state["zeros"] += sum(values.size - np.count_nonzero(values) for values in weights)
            state["entries"] += sum(values.size for values in weights)

    def finish(self, state: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Give them."""
        return state
