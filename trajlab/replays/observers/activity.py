"""Activity of units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trajlab.replays.observers.constants import FLAT, Constants, constants_of
from trajlab.replays.observers.observer import Batch, Layer, Observer, Output
from trajlab.scan.kernels.activity import ACTIVITY, activity

COLUMNS = (*ACTIVITY, "at_low", "at_high")
"""`ACTIVITY`, and the positions at which a unit is at the lower and the upper constant of its activation."""


@dataclass(frozen=True)
class Activity(Observer):
    """Observer: `COLUMNS` of each unit over all positions of the probe, (unit, column), by name of the layer.

    In attrs: `can_die`, whether the activation has a constant at all, None if unknown, `dead_at`, in words, and
    `smooth`, whether it only tends to the constant, so that `is_flat` tells.

    Parameters
    ----------
    bounds
        By module class, between which values a unit counts as active; above 0 by default.
    """

    bounds: tuple[tuple[str, float, float], ...] = ()

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe a table for each layer."""
        columns = {"column": np.array(COLUMNS, dtype=object)}
        return {
            layer.name: Output(
                ("unit", "column"), (layer.units, len(COLUMNS)), coords=columns, attrs=layer.attrs | _described(layer)
            )
            for layer in layers
        }

    def start(self, layers: Sequence[Layer], samples: int) -> list[tuple[Layer, Constants, np.ndarray]]:
        """Return sums of 0."""
        return [(layer, constants_of(layer.attrs), np.zeros((layer.units, len(COLUMNS)))) for layer in layers]

    def add(self, state: list[tuple[Layer, Constants, np.ndarray]], number: int, batch: Batch) -> None:
        """Add a batch."""
        layer, constants, sums = state[number]
        limits = {name: (low, high) for name, low, high in self.bounds}
        low, high = limits.get(kind_of(layer.attrs), (0.0, np.inf))
        axis = 1 + layer.unit_axis
        table = activity(batch.values, axis, low, high)
        sums[:, : len(ACTIVITY)] += table
        valid = table[:, ACTIVITY.index("valid")]
        if constants.low is not None:
            above = table[:, 0] if (low, high) == (constants.low, np.inf) else _between(batch, axis, low=constants.low)
            sums[:, -2] += valid - above - (_between(batch, axis, high=constants.low) if constants.exact else 0.0)
        if constants.high is not None:
            sums[:, -1] += valid - _between(batch, axis, high=constants.high)

    def finish(self, state: list[tuple[Layer, Constants, np.ndarray]]) -> Mapping[str, np.ndarray]:
        """Return the tables."""
        return {layer.name: sums for layer, _, sums in state}


def kind_of(attrs: Mapping[str, Any]) -> str:
    """Return the class of torch.nn that computes the activation of a layer, or else the class of its module."""
    return str(attrs.get("nonlinearity") or attrs.get("module_class", ""))


def _described(layer: Layer) -> dict[str, Any]:
    constants = constants_of(layer.attrs)
    return {"can_die": constants.can_die, "dead_at": constants.words, "smooth": constants.smooth}


def is_flat(squares: np.ndarray, size: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return which units of a smooth activation are as good as 0 at all positions.

    Parameters
    ----------
    squares, size, valid
        Σh², Σ|h| and the number of finite positions of each unit, (…, unit); NaN where a layer has no unit.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        means = size / valid
        is_known = np.isfinite(means)
        mean = np.where(is_known, means, 0.0).sum(-1, keepdims=True) / is_known.sum(-1, keepdims=True)
        return np.sqrt(squares / valid) <= FLAT * mean


def _between(batch: Batch, axis: int, *, low: float = -np.inf, high: float = np.inf) -> np.ndarray:
    """Count the positions at which each unit is above one bound and below the other."""
    return activity(batch.values, axis, low, high)[:, 0]
