"""Hidden states of the residual stream: their size, their outliers and their rank."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any, ClassVar

import numpy as np

from trajlab.replays.observers.observer import Batch, Layer, Observer, Output
from trajlab.scan.kernels.power_law import effective_rank

COLUMNS = (
    "tokens", "norm", "largest", "median", "ratio", "massive", "kurtosis", "nonfinite", "largest_position",
    "largest_unit", "effective_rank", "sequences",
)  # fmt: skip
"""Columns of a layer.

- tokens: number of tokens whose values are all finite; all but `nonfinite` are over these
- norm, kurtosis: sums over the tokens of the norm, and of the excess kurtosis over the units
- largest, largest_position, largest_unit: max |h|, and where it is
- median, sequences: sum over the sequences of the median |h|, and number of sequences
- ratio: largest ratio of max |h| to the median |h| of a sequence
- massive: number of massive values
- nonfinite: number of values that are NaN or Inf
- effective_rank: effective rank of up to `RANK_TOKENS` tokens
"""

MASSIVE, TIMES = 100.0, 1000.0
"""|h| is massive above `MASSIVE` and above `TIMES` × the median |h| of its sequence; Sun et al. 2024."""

RANK_TOKENS = 2048
"""Largest number of tokens in an effective rank; of more, every n-th, at all positions alike."""


@dataclass(frozen=True)
class HiddenStates(Observer):
    """Observer of hidden states, (position, unit).

    ``table`` holds `COLUMNS`, (layer, column). ``norms``, (layer, position, part), holds the sum of the norms and the
    number of tokens at each position.
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
            of_layer.sums["effective_rank"] = rank_of(np.concatenate(of_layer.kept or [np.empty((0, 1))]))
        table = [[float(of_layer.sums[name]) for name in COLUMNS] for of_layer in state]
        return {"table": np.array(table), "norms": np.stack([of_layer.norms for of_layer in state])}


class _State:
    """Sums of one layer."""

    def __init__(self, layer: Layer, samples: int, longest: int):
        self.length = layer.shape[0]
        self.sums: dict[str, Any] = dict.fromkeys(COLUMNS, 0.0)
        self.sums |= {name: np.nan for name in ("largest", "ratio", "largest_position", "largest_unit")}
        self.norms = np.zeros((longest, 2))
        self.stride = max(1, -(-samples * self.length // RANK_TOKENS))
        while gcd(self.stride, self.length) > 1:  # else some positions would never be taken
            self.stride += 1
        self.kept: list[np.ndarray] = []

    def add(self, batch: Batch) -> None:
        values = batch.values.astype(np.float64)
        positions = np.arange(values.shape[1]) if batch.kept is None else batch.kept
        is_finite = np.isfinite(values)
        is_token = np.asarray(is_finite.all(2))
        self.sums["nonfinite"] += (~is_finite).sum()
        with np.errstate(invalid="ignore", over="ignore"):
            norm = np.where(is_token, np.linalg.norm(np.where(is_finite, values, 0.0), axis=2), 0.0)
        self.norms[positions] += np.stack([norm.sum(0), is_token.sum(0)], axis=1)
        self.sums["tokens"] += is_token.sum()
        self.sums["norm"] += norm.sum()
        self.sums["kurtosis"] += kurtosis(values[is_token]).sum()
        for sequence, kept in zip(values, is_token, strict=True):
            if kept.any():
                self._add_sequence(abs(sequence[kept]), positions[kept])
        numbers = (batch.first + np.arange(len(values)))[:, None] * self.length + positions
        self.kept.append(batch.values[is_token & (numbers % self.stride == 0)])

    def _add_sequence(self, sizes: np.ndarray, positions: np.ndarray) -> None:
        """Add |h| of the tokens of a sequence, (token, unit), and their positions."""
        largest, median = sizes.max(), np.median(sizes)
        self.sums["median"] += median
        self.sums["sequences"] += 1
        self.sums["massive"] += ((sizes > MASSIVE) & (sizes > TIMES * median)).sum()
        if median > 0:
            self.sums["ratio"] = np.fmax(self.sums["ratio"], largest / median)
        if not largest <= self.sums["largest"]:
            row, unit = np.unravel_index(sizes.argmax(), sizes.shape)
            self.sums |= {"largest": largest, "largest_position": positions[row], "largest_unit": unit}


def kurtosis(tokens: np.ndarray) -> np.ndarray:
    """Return the excess kurtosis of each row, (token, unit), m₄ / m₂² − 3; 0 for a constant row.

    >>> kurtosis(np.array([[1.0, -1.0, 1.0, -1.0], [0.0, 0.0, 0.0, 4.0]])).round(4).tolist()
    [-2.0, -0.6667]
    """
    centered = tokens - tokens.mean(1, keepdims=True)
    variance = (centered**2).mean(1)
    fourth = (centered**4).mean(1)
    return np.where(variance > 0, fourth / np.where(variance > 0, variance, 1.0) ** 2 - 3, 0.0)


def rank_of(tokens: np.ndarray) -> float:
    """Return the effective rank of centered rows, from their singular values.

    NaN for fewer than two rows, or if all rows are equal.

    >>> round(rank_of(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])), 6)
    2.0
    """
    if len(tokens) < 2:
        return np.nan
    values = tokens.astype(np.float64)
    values -= values.mean(0)
    gram = values @ values.T if len(values) < values.shape[1] else values.T @ values
    return float(effective_rank(np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0.0, None))))
