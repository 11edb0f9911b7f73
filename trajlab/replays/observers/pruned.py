"""Outputs of a pruned network, and the fraction pruned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trajlab.replays.observers.observer import Batch, Layer, Output
from trajlab.replays.observers.outputs import Outputs

COUNTS = ("zeros", "entries")


@dataclass(frozen=True)
class Pruned(Outputs):
    """Observer of a whole network: its output, and how many of the entries of its weights are `zeros`.

    Weights are parameters of two dims or more; tied ones count once. After pruning by threshold, the zeros are the
    entries below it.
    """

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe the outputs, and two counts."""
        return super().outputs(layers, samples) | {name: Output((), ()) for name in COUNTS}

    def start(self, layers: Sequence[Layer], samples: int) -> dict[str, np.ndarray]:
        """Allocate them."""
        return super().start(layers, samples) | {name: np.zeros(()) for name in COUNTS}

    def add(self, state: dict[str, np.ndarray], number: int, batch: Batch) -> None:
        """Copy the outputs of a batch; count zeros in the first."""
        super().add(state, number, batch)
        if batch.first == 0:
            weights = [values for values in batch.parameters.values() if values.ndim > 1]
            state["zeros"] += sum(values.size - np.count_nonzero(values) for values in weights)
            state["entries"] += sum(values.size for values in weights)

    def finish(self, state: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return them."""
        return state
