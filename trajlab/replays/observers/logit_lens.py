"""Logit lens: the loss of the output layer on the hidden state after each block."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trajlab.replays.observers.observer import Batch, Layer, Observer, Output

COLUMNS = ("scored", "loss", "right")
"""Number of tokens with a label and finite logits; sum over them of −log p(label); number of correct predictions."""

ROWS = 1 << 22
"""Number of logits scored at once."""


@dataclass(frozen=True)
class LogitLens(Observer):
    """Observer: `COLUMNS` of each layer, (layer, column).

    Parameters
    ----------
    through
        Paths of the modules that are applied to hidden states, in order: the last norm and the output layer. The
        network's own output is scored as it is.
    """

    takes_padding: ClassVar[bool] = True  # padding has no label, and so is not scored
    through: tuple[str, ...] = ()

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe a table."""
        names = np.array([layer.name for layer in layers], dtype=object)
        coords = {"layer": names, "column": np.array(COLUMNS, dtype=object)}
        return {"lens": Output(("layer", "column"), (len(layers), len(COLUMNS)), coords=coords)}

    def start(self, layers: Sequence[Layer], samples: int) -> np.ndarray:
        """Return sums of 0."""
        return np.zeros((len(layers), len(COLUMNS)))

    def add(self, state: np.ndarray, number: int, batch: Batch) -> None:
        """Add the logits of a batch."""
        if batch.targets is None or batch.targets.size * batch.values.shape[-1] != batch.values.size:
            return
        logits, labels = batch.values.reshape(-1, batch.values.shape[-1]), batch.targets.reshape(-1)
        few = max(1, ROWS // logits.shape[1])
        for first in range(0, len(logits), few):
            state[number] += scores(logits[first : first + few], labels[first : first + few])

    def finish(self, state: np.ndarray) -> Mapping[str, np.ndarray]:
        """Return the table."""
        return {"lens": state}


def scores(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return `COLUMNS` of logits, (token, class), and labels, (token); labels outside the classes are ignored.

    >>> scores(np.log([[0.25, 0.75], [0.5, 0.5]]), np.array([1, -100])).round(4).tolist()
    [1.0, 0.2877, 1.0]
    """
    counted = (labels >= 0) & (labels < logits.shape[1]) & np.isfinite(logits).all(1)
    values, chosen = logits[counted].astype(np.float64), labels[counted].astype(np.int64)
    if not len(chosen):
        return np.zeros(len(COLUMNS))
    top = values.max(1)
    total = top + np.log(np.exp(values - top[:, None]).sum(1))
    loss = total - values[np.arange(len(chosen)), chosen]
    return np.array([len(chosen), loss.sum(), (values.argmax(1) == chosen).sum()])
