"""Histograms of the gradient at the output of each unit of a layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trajlab.replays.observers.observer import Batch, Layer, Objective, Observer, Output

FIRST, LAST = -32, 7
"""Exponents of the smallest and the largest power of two that begin a bin, on either side of zero."""

OCTAVES = LAST - FIRST + 1
CENTER = OCTAVES + 1
BINS = 2 * CENTER + 1
"""One bin for each octave and sign, two open ones beyond, and one at zero."""


def bin_edges() -> np.ndarray:
    """Return the `BINS` + 1 edges of the bins, −∞ and ∞ at the ends.

    >>> edges = bin_edges()
    >>> len(edges) == BINS + 1, edges[CENTER + 1] == 2.0**FIRST, edges[-2] == 2.0 ** (LAST + 1)
    (True, np.True_, np.True_)
    """
    positive = np.append(np.ldexp(1.0, np.arange(FIRST, LAST + 2)), np.inf)
    return np.concatenate([-positive[::-1], positive])


def bins_of(values: np.ndarray) -> np.ndarray:
    """Return the bin of each value; of NaN and Inf −1.

    >>> (bins_of(np.array([0.0, 1.0, -1.0, 1e-30, 1e9, np.nan])) - CENTER).tolist()
    [0, 33, -33, 0, 41, -42]
    """
    with np.errstate(invalid="ignore"):
        octave = np.clip(np.frexp(values)[1] - 1, FIRST - 1, LAST + 1) - FIRST + 1
    octave = np.where(values == 0, 0, octave)
    return np.where(np.isfinite(values), CENTER + np.where(values < 0, -octave, octave), -1)


@dataclass(frozen=True)
class GradientHistogram(Observer):
    """Observer: ``<layer>|histogram``, (unit, bin), counts of the gradients over samples and positions.

    Bins are those of `bin_edges`: octaves, as gradients spread over decades. NaN and Inf are in none.

    Parameters
    ----------
    objective
        What is differentiated.
    """

    objective: Objective | None = Objective("loss")  # noqa: RUF009  is frozen
    takes_values: ClassVar[bool] = False
    small: ClassVar[bool] = False

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe a table for each layer."""
        return {f"{layer.name}|histogram": Output(("unit", "bin"), (layer.units, BINS), np.int64) for layer in layers}

    def start(self, layers: Sequence[Layer], samples: int) -> list[tuple[Layer, np.ndarray]]:
        """Return the layers and empty counts."""
        return [(layer, np.zeros((layer.units, BINS), np.int64)) for layer in layers]

    def add(self, state: list[tuple[Layer, np.ndarray]], number: int, batch: Batch) -> None:
        """Count the gradients of a batch."""
        layer, counts = state[number]
        by_unit = np.moveaxis(np.asarray(batch.gradient), 1 + layer.unit_axis, 0)
        for unit, values in enumerate(by_unit):
            bins = bins_of(values.reshape(-1))
            counts[unit] += np.bincount(bins[bins >= 0], minlength=BINS)

    def finish(self, state: list[tuple[Layer, np.ndarray]]) -> Mapping[str, np.ndarray]:
        """Return the counts."""
        return {f"{layer.name}|histogram": counts for layer, counts in state}
