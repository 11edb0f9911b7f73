"""Correlations between the features of all layers over the samples of the probe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from trajlab.replays.observers.observer import Batch, Layer, Observer, Output
from trajlab.replays.observers.pooled import Pooled
from trajlab.statistics.correlation import PAIRS, features_of, pairs

COUNTS = ("features", "constant", "nonfinite")
"""Features that vary, features that do not, and activations that are NaN or Inf."""


class Means(NamedTuple):
    """Features of all layers.

    Parameters
    ----------
    means
        Each layer, and its features, (sample, unit).
    nonfinite
        Activations that are NaN or Inf, (layer).
    """

    means: list[tuple[Layer, np.ndarray]]
    nonfinite: np.ndarray


def add_means(state: Means, number: int, batch: Batch) -> None:
    """Add the features of a layer for a batch."""
    Pooled().add(state.means, number, batch)
    rows = state.means[number][1][batch.first : batch.first + len(batch.values)]
    if not np.isfinite(rows).all():
        state.nonfinite[number] += batch.values.size - np.isfinite(batch.values).sum()


@dataclass(frozen=True)
class Correlations(Observer):
    """Observer: `PAIRS` of each two layers, `COUNTS` of each, and the features themselves, side by side.

    A feature is a unit, and its value for a sample the mean over its positions, as `Pooled` gives it.
    """

    small: ClassVar[bool] = False
    by_unit: ClassVar[bool] = True

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe three tables."""
        names = np.array([layer.name or "output" for layer in layers], dtype=object)
        count = len(layers)
        columns = {"column": np.array(PAIRS, dtype=object)}
        return {
            "pairs": Output(
                ("layer", "layer_other", "column"),
                (count, count, len(PAIRS)),
                coords={"layer": names, "layer_other": names, **columns},
            ),
            "counts": Output(
                ("layer", "column"),
                (count, len(COUNTS)),
                coords={"layer": names, "column": np.array(COUNTS, dtype=object)},
            ),
            "features": Output(("sample", "feature"), (samples, sum(layer.units for layer in layers))),
        }

    def start(self, layers: Sequence[Layer], samples: int) -> Means:
        """Allocate the features."""
        return Means(Pooled().start(layers, samples), np.zeros(len(layers)))

    def add(self, state: Means, number: int, batch: Batch) -> None:
        """Add the features of a batch."""
        add_means(state, number, batch)

    def finish(self, state: Means) -> Mapping[str, np.ndarray]:
        """Correlate them."""
        all_features = [features_of(means) for _, means in state.means]
        nonfinite = zip(all_features, state.nonfinite.tolist(), strict=True)
        counts = [(len(features.units), features.constant, bad) for features, bad in nonfinite]
        return {
            "pairs": pairs(all_features),
            "counts": np.array(counts).reshape(len(all_features), len(COUNTS)),
            "features": np.hstack([means for _, means in state.means]),
        }
