"""Similarity of the features of augmented copies of samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trajlab.replays.observers.correlations import Means, add_means
from trajlab.replays.observers.observer import Batch, Layer, Observer, Output
from trajlab.replays.observers.pooled import Pooled
from trajlab.statistics.correlation import features_of

SPREADS = ("within", "between")
"""Of a unit: the mean over the samples of its variance over the copies, and the variance of the means over these."""

ALIKE = ("features_signed", "features_absolute", "copies_signed", "copies_absolute", "others_signed", "others_absolute")
"""Of a layer and a sample, mean correlations and their mean sizes: of different features over the copies of the sample;
of different copies of the sample over the features; of these and the copies of the other samples."""


@dataclass(frozen=True)
class Copies(Observer):
    """Observer: `SPREADS` of each unit, the layers side by side, `ALIKE` of each layer and sample, and what is broken.

    Parameters
    ----------
    copies
        Copies of each sample, that follow each other in the probe; of single ones only the spread is found.
    """

    copies: int

    small: ClassVar[bool] = False

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe three tables."""
        names = np.array([layer.name or "output" for layer in layers], dtype=object)
        count, originals = len(layers), samples // self.copies
        alike = {"layer": names, "column": np.array(ALIKE, dtype=object)}
        return {
            "spread": Output(("unit", "column"), (sum(layer.units for layer in layers), len(SPREADS))),
            "alike": Output(("layer", "original", "column"), (count, originals, len(ALIKE)), coords=alike),
            "nonfinite": Output(("layer",), (count,)),
        }

    def start(self, layers: Sequence[Layer], samples: int) -> Means:
        """Allocate the features."""
        return Means(Pooled().start(layers, samples), np.zeros(len(layers)))

    def add(self, state: Means, number: int, batch: Batch) -> None:
        """Add the features of a batch."""
        add_means(state, number, batch)

    def finish(self, state: Means) -> Mapping[str, np.ndarray]:
        """Compare the copies."""
        each = [means.reshape(-1, self.copies, means.shape[1]) for _, means in state.means]
        return {
            "spread": np.concatenate([spread(values) for values in each]),
            "alike": np.stack([copy_correlations(values) for values in each]),
            "nonfinite": state.nonfinite,
        }


def spread(values: np.ndarray) -> np.ndarray:
    """Return `SPREADS` of features (sample, copy, unit), (unit, column); NaN for units with non-finite values."""
    with np.errstate(invalid="ignore"):
        same = np.ptp(values, axis=1) == 0
        within = np.where(same, 0.0, values.var(1)).mean(0)
        means = np.where(same, values[:, 0], values.mean(1))
        between = np.where(np.ptp(means, axis=0) == 0, 0.0, means.var(0))
    is_finite = np.isfinite(values).all((0, 1))
    return np.where(is_finite[:, None], np.stack([within, between], axis=1), np.nan)


def copy_correlations(values: np.ndarray) -> np.ndarray:
    """Return `ALIKE` of features (sample, copy, unit), (sample, column)."""
    samples, copies, _ = values.shape
    found = np.full((samples, len(ALIKE)), np.nan)
    if copies == 1:
        return found
    for row, own in enumerate(values):
        between = features_of(own).directions
        found[row, :2] = _means(between.T @ between, between.shape[1])
    rows = values.reshape(samples * copies, -1)
    all_features = features_of(rows[:, np.isfinite(rows).all(0)].T)
    sample = all_features.units // copies
    for row in range(samples):
        own = sample == row
        together = all_features.directions[:, own].T @ all_features.directions
        found[row, 2:4] = _means(together[:, own], int(own.sum()))
        found[row, 4:] = _means(together[:, ~own], 0)
    return found


def _means(correlations: np.ndarray, same: int) -> tuple[float, float]:
    """Return the means of ρ and |ρ|, without the `same` entries that correlate something with itself."""
    count = correlations.size - same
    if not count:
        return np.nan, np.nan
    return (correlations.sum() - same) / count, (abs(correlations).sum() - same) / count
