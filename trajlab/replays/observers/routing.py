"""Routing of a mixture of experts: load and mean probability of each expert, and entropy of the router."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trajlab.replays.observers.observer import Batch, Layer, Observer, Output

COLUMNS = ("tokens", "entropy", "nonfinite")
"""Number of tokens with finite scores; sum over them of the entropy of the softmax; number of NaN and Inf scores."""


@dataclass(frozen=True)
class Routing(Observer):
    """Observer of the scores of routers, (position, expert).

    ``table`` holds `COLUMNS`, (layer, column). ``load`` and ``probability``, (layer, expert), hold the number of tokens
    that choose each expert, and the sum of its probabilities.

    Parameters
    ----------
    top_k
        Number of experts that a token chooses; 0 takes that of the router, the attr `chosen` of the layer. If this is
        unknown, loads are NaN.
    """

    top_k: int = 0

    def outputs(self, layers: Sequence[Layer], samples: int) -> dict[str, Output]:
        """Describe three tables."""
        names = {"layer": np.array([layer.name for layer in layers], dtype=object)}
        most = max((layer.shape[-1] for layer in layers), default=0)
        columns = names | {"column": np.array(COLUMNS, dtype=object)}
        by_expert = Output(("layer", "expert"), (len(layers), most), coords=names)
        table = Output(("layer", "column"), (len(layers), len(COLUMNS)), coords=columns)
        return {"table": table, "load": by_expert, "probability": by_expert}

    def start(self, layers: Sequence[Layer], samples: int) -> list["_Sums"]:
        """Return sums of 0."""
        return [_Sums(layer, self.top_k or int(layer.attrs.get("chosen", 0))) for layer in layers]

    def add(self, state: list["_Sums"], number: int, batch: Batch) -> None:
        """Add the scores of a batch."""
        state[number].add(batch.values.reshape(-1, batch.values.shape[-1]).astype(np.float64))

    def finish(self, state: list["_Sums"]) -> Mapping[str, np.ndarray]:
        """Return the tables."""
        most = max((len(sums.load) for sums in state), default=0)
        load, probability = (np.full((len(state), most), np.nan) for _ in range(2))
        for row, sums in enumerate(state):
            load[row, : len(sums.load)] = sums.load if sums.top_k else np.nan
            probability[row, : len(sums.load)] = sums.probability
        return {"table": np.stack([sums.table for sums in state]), "load": load, "probability": probability}


class _Sums:
    """Sums of one router."""

    def __init__(self, layer: Layer, top_k: int):
        self.top_k = min(top_k, layer.shape[-1])
        self.table = np.zeros(len(COLUMNS))
        self.load, self.probability = np.zeros(layer.shape[-1]), np.zeros(layer.shape[-1])

    def add(self, scores: np.ndarray) -> None:
        """Add scores, (token, expert)."""
        is_finite = np.isfinite(scores)
        tokens = scores[is_finite.all(1)]
        p = np.exp(tokens - tokens.max(1, keepdims=True)) if len(tokens) else tokens
        p /= p.sum(1, keepdims=True)
        entropy = -np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0).sum()
        self.table += len(tokens), entropy, (~is_finite).sum()
        self.probability += p.sum(0)
        if self.top_k and len(tokens):
            chosen = np.argsort(-tokens, axis=1, kind="stable")[:, : self.top_k]
            self.load += np.bincount(chosen.ravel(), minlength=len(self.load))
