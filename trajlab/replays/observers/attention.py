"""Attention of each head: how sharp, how far, and how much of it goes to the first token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trajlab.replays.observers.observer import Batch, Layer, Observer, Output

COLUMNS = ("queries", "entropy", "relative_entropy", "largest", "distance", "first", "uniform", "nonfinite")
"""Sums over the queries that see two keys or more, in each head: their number, Σ −Σ p ln p, the same over the
logarithm of the number of keys seen, Σ max p, Σ Σ p |query − key|, the sum of the share of the first key seen, and the
sum of 1 / keys seen; and shares that are NaN or Inf."""


def is_seen(shares: np.ndarray) -> np.ndarray:
    """Return which keys each query sees, (sample, head, query, key): shares of masked keys are −0.0.

    In attention of a sequence on itself a position that no query sees is padding, and its own query sees nothing.
    """
    seen = ~((shares == 0) & np.signbit(shares))
    if shares.shape[-1] == shares.shape[-2]:
        seen &= seen.any(-2)[..., None]
    return seen


@dataclass(frozen=True)
class HeadAttention(Observer):
    """Observer: `COLUMNS` of each head, (unit, column), by name of the layer."""

    takes_padding: ClassVar[bool] = True  # masked keys are marked, and distances are those of positions

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe a table for each layer."""
        columns = {"column": np.array(COLUMNS, dtype=object)}
        return {
            layer.name: Output(("unit", "column"), (layer.units, len(COLUMNS)), coords=columns, attrs=layer.attrs)
            for layer in layers
        }

    def start(self, layers: Sequence[Layer], samples: int) -> dict[str, np.ndarray]:
        """Return sums of 0."""
        return {layer.name: np.zeros((layer.units, len(COLUMNS))) for layer in layers}

    def add(self, state: dict[str, np.ndarray], number: int, batch: Batch) -> None:
        """Add a batch, (sample, head, query, key)."""
        sums = list(state.values())[number]
        for sample in batch.values:
            sums += _of_sample(sample[None].astype(np.float64))

    def finish(self, state: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Return the tables."""
        return state


def _of_sample(shares: np.ndarray) -> np.ndarray:
    """Return `COLUMNS` of one sample, (head, column)."""
    is_finite = np.isfinite(shares)
    seen = is_seen(shares)
    keys = seen.sum(-1)
    counted = is_finite.all(-1) & (keys > 1)
    p = np.where(counted[..., None] & seen, shares, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0).sum(-1)
        relative = np.where(counted, entropy / np.log(np.maximum(keys, 2)), 0.0)
    queries, width = shares.shape[-2:]
    away = abs(np.arange(queries)[:, None] - np.arange(width)) if queries == width else np.full((1, width), np.nan)
    first = np.take_along_axis(p, seen.argmax(-1)[..., None], -1)[..., 0]
    uniform = np.where(counted, 1.0 / np.maximum(keys, 1), 0.0)
    terms = (counted, entropy, relative, p.max(-1), (p * away).sum(-1), first, uniform, (~is_finite).sum(-1))
    return np.stack([term.sum((0, -1)) for term in terms], axis=-1).astype(np.float64)
