"""Hidden states of the residual stream: their size, their outliers and their rank."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from trajlab.replays.observers.observer import Batch, Layer, Observer, Output

COLUMNS = (
    "tokens", "norm", "largest", "median", "ratio", "massive", "kurtosis", "nonfinite", "largest_position",
    "largest_unit", "effective_rank", "sequences",
)  # fmt: skip
"""Of a hidden state: tokens whose values are all finite, and sums over them of the norm and of the excess kurtosis over
the units; the largest |h|, its position and its unit; sums over the sequences of the median |h|, and their number; the
largest ratio of both in a sequence; massive values; values that are NaN or Inf; and the effective rank."""

MASSIVE, TIMES = 100.0, 1000.0
"""A value is massive above the one, and above the other times the median of its sequence."""

RANK_TOKENS = 2048
"""Tokens whose effective rank is computed, at most: evenly spaced in the probe."""


@dataclass(frozen=True)
class HiddenStates(Observer):
    """Observer of layers (position, unit): ``table``, (layer, column), and ``norms``, (layer, position, 2).

    The latter are at each position the sum of the norms and the number of tokens.
    """

    small: ClassVar[bool] = True

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe two tables."""
        names = {"layer": np.array([layer.name for layer in layers], dtype=object)}
        longest = max((layer.shape[0] for layer in layers), default=0)
        return {
            "table": Output(
                ("layer", "column"), (len(layers), len(COLUMNS)), coords=names | {"column": np.array(COLUMNS, object)}
            ),
            "norms": Output(("layer", "position", "part"), (len(layers), longest, 2), coords=names),
        }

    def start(self, layers: Sequence[Layer], samples: int) -> list["_State"]:
        """Return sums of 0."""
        longest = max((layer.shape[0] for layer in layers), default=0)
        return [_State(layer, samples, longest) for layer in layers]

    def add(self, state: list["_State"], number: int, batch: Batch) -> None:
        """Add a batch."""
        state[number].add(batch)

    def finish(self, state: list["_State"]) -> Mapping[str, np.ndarray]:
        """Return the tables."""
        for of_layer in state:
            of_layer.sums["effective_rank"] = effective_rank(np.concatenate(of_layer.kept or [np.empty((0, 1))]))
        table = [[float(of_layer.sums[name]) for name in COLUMNS] for of_layer in state]
        return {"table": np.array(table), "norms": np.stack([of_layer.norms for of_layer in state])}


class _State:
    """Sums of one layer."""

    def __init__(self, layer: Layer, samples: int, longest: int):
        self.length = layer.shape[0]
        self.sums: dict[str, Any] = dict.fromkeys(COLUMNS, 0.0)
        self.sums |= {name: np.nan for name in ("largest", "ratio", "largest_position", "largest_unit")}
        self.norms = np.zeros((longest, 2))
        self.every = -(-samples * self.length // RANK_TOKENS)
        self.kept: list[np.ndarray] = []

    def add(self, batch: Batch) -> None:
        values = batch.values.astype(np.float64)
        places = np.arange(values.shape[1]) if batch.kept is None else batch.kept
        is_finite = np.isfinite(values)
        known = np.asarray(is_finite.all(2))
        self.sums["nonfinite"] += (~is_finite).sum()
        with np.errstate(invalid="ignore", over="ignore"):
            norm = np.where(known, np.linalg.norm(np.where(is_finite, values, 0.0), axis=2), 0.0)
        self.norms[places] += np.stack([norm.sum(0), known.sum(0)], axis=1)
        self.sums["tokens"] += known.sum()
        self.sums["norm"] += norm.sum()
        self.sums["kurtosis"] += kurtosis(values[known]).sum()
        for sequence, fine in zip(values, known, strict=True):
            if fine.any():
                self._add_sequence(abs(sequence[fine]), places[fine])
        cells = (batch.first + np.arange(len(values)))[:, None] * self.length + places
        self.kept.append(batch.values[known & (cells % max(self.every, 1) == 0)])

    def _add_sequence(self, sizes: np.ndarray, places: np.ndarray) -> None:
        """Add |h| of a sequence, (position, unit)."""
        largest, median = sizes.max(), np.median(sizes)
        self.sums["median"] += median
        self.sums["sequences"] += 1
        self.sums["massive"] += ((sizes > MASSIVE) & (sizes > TIMES * median)).sum()
        if median > 0:
            self.sums["ratio"] = np.fmax(self.sums["ratio"], largest / median)
        if not largest <= self.sums["largest"]:
            row, unit = np.unravel_index(sizes.argmax(), sizes.shape)
            self.sums |= {"largest": largest, "largest_position": places[row], "largest_unit": unit}


def kurtosis(tokens: np.ndarray) -> np.ndarray:
    """Return the excess kurtosis of each row over its units, m₄ / m₂² − 3; 0 of a constant row.

    >>> kurtosis(np.array([[1.0, -1.0, 1.0, -1.0], [0.0, 0.0, 0.0, 4.0]])).round(4).tolist()
    [-2.0, -0.6667]
    """
    centered = tokens - tokens.mean(1, keepdims=True)
    variance = (centered**2).mean(1)
    fourth = (centered**4).mean(1)
    return np.where(variance > 0, fourth / np.where(variance > 0, variance, 1.0) ** 2 - 3, 0.0)


def effective_rank(tokens: np.ndarray) -> float:
    """Return exp(−Σ p ln p) of the shares p of the singular values of centered rows; NaN where they are equal.

    Roy and Vetterli 2007.

    >>> round(effective_rank(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])), 6)
    2.0
    """
    if len(tokens) < 2:
        return np.nan
    values = tokens.astype(np.float64)
    values -= values.mean(0)
    gram = values @ values.T if len(values) < values.shape[1] else values.T @ values
    singular = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0.0, None))
    if not singular.sum():
        return np.nan
    p = singular / singular.sum()
    return float(np.exp(-(p[p > 0] * np.log(p[p > 0])).sum()))
