"""t-SNE from nearest neighbors, aligned over the steps.

It starts from the principal components, with signs aligned to those of the previous step, and is rotated to agree best
with that of the previous step.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController

START = 1e-4
"""Standard deviation of the first component where t-SNE starts, as in scikit-learn."""

FEWEST = 4
"""Smallest number of samples: perplexity 1 needs three neighbors."""


def aligned(scores: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Choose the sign of each component that agrees best with the previous step, (sample, component) each.

    The sign of a component is free; at first its largest value is positive.
    """
    out: list[np.ndarray] = []
    before = np.zeros_like(scores[0])
    for components in scores:
        scaled = _unit(np.nan_to_num(components))
        toward = (scaled * before).sum(0)
        largest = np.take_along_axis(scaled, abs(scaled).argmax(0)[None], 0)[0] if len(scaled) else toward
        sign = np.where(np.where(toward != 0, toward, largest) < 0, -1.0, 1.0)
        out.append(components * sign)
        before = np.where(np.isfinite(components).any(0), scaled * sign, before)
    return out


def embedded(
    distances: np.ndarray, indices: np.ndarray, scores: np.ndarray, perplexity: float, seed: int
) -> tuple[np.ndarray, float, float]:
    """Embed samples by t-SNE; return the coordinates, (sample, component), the divergence and the perplexity.

    Parameters
    ----------
    distances, indices
        Nearest samples of each, itself first, as `neighbors.near` returns them, among the samples without NaN.
    scores
        Principal components, (sample, component); NaN for samples with a value that is not finite.
    perplexity
        Perplexity; it is lowered to a third of the other samples.
    seed
        Seed of where it starts in components that the samples do not have.
    """
    from scipy.sparse import csr_matrix
    from sklearn.manifold import TSNE

    shown = np.full(scores.shape, np.nan)
    kept = np.flatnonzero(np.isfinite(scores[:, 0]))
    count = len(kept)
    start = _unit(scores[kept])
    if count < FEWEST or not start[:, 0].any():
        return shown, np.nan, np.nan
    start *= START / start[:, 0].std()
    random = START * np.random.default_rng(seed).standard_normal(start.shape)
    start = np.where(np.nan_to_num(start).any(0), start, random).astype(np.float32)
    rows = np.arange(count + 1) * indices.shape[1]
    graph = csr_matrix((distances.ravel(), indices.ravel(), rows), (count, count))
    lowered = lower(perplexity, count)
    with _openmp().limit(limits=1):
        tsne = TSNE(
            scores.shape[1], perplexity=lowered, init=start, metric="precomputed", n_jobs=1, random_state=seed
        )  # fmt: skip
        shown[kept] = tsne.fit_transform(graph)
    return shown, float(tsne.kl_divergence_), lowered


def turned(maps: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Rotate or mirror each t-SNE, whose orientation is arbitrary, to agree best with that of the previous step."""
    out: list[np.ndarray] = []
    before: np.ndarray | None = None
    for coordinates in maps:
        finite = np.isfinite(coordinates).all(1)
        if before is not None and finite.any():
            both = finite & np.isfinite(before).all(1)
            left, _, right = np.linalg.svd(coordinates[both].T @ before[both])
            coordinates = np.where(finite[:, None], np.nan_to_num(coordinates) @ left @ right, np.nan)
        before = coordinates if finite.any() else before
        out.append(coordinates)
    return out


def _unit(scores: np.ndarray) -> np.ndarray:
    """Divide by the largest size, so that squares stay in the range of float64."""
    return scores / (np.nanmax(abs(scores), initial=0.0) or 1.0)


def lower(perplexity: float, count: int) -> float:
    """Lower a perplexity to the largest that a number of samples allows."""
    return min(perplexity, (count - 1) / 3)


def neighborhood(perplexity: float, count: int) -> int:
    """Return the number of neighbors that t-SNE of a number of samples uses, as in scikit-learn.

    >>> neighborhood(30.0, 256), neighborhood(30.0, 10), neighborhood(30.0, 3)
    (91, 9, 0)
    """
    return min(count - 1, int(3 * lower(perplexity, count) + 1)) if count >= FEWEST else 0


@cache
def _openmp() -> ThreadpoolController:
    """Return what limits the threads that t-SNE would start; the limit holds for the thread that sets it."""
    return ThreadpoolController().select(user_api="openmp")
