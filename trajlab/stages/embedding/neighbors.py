"""Nearest neighbors among samples, and kNN accuracy."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from trajlab import sizes

METRICS = ("euclidean", "cosine")


class Near(NamedTuple):
    """Neighbors of the samples.

    Attributes
    ----------
    distances, indices
        Distances and positions of the nearest samples, the sample itself first, (sample, 1 + most).
    accuracy
        Leave-one-out kNN accuracy over labeled samples; NaN for fewer than two.
    """

    distances: np.ndarray
    indices: np.ndarray
    accuracy: float


def near(
    points: np.ndarray,
    *,
    metric: str = "euclidean",
    most: int = 0,
    labels: np.ndarray | None = None,
    neighbors: int = 1,
) -> Near:
    """Find the nearest samples of each, and let the nearest labeled ones vote on its label.

    Each sample is left out of its own vote. Samples that are as far away as the last neighbor share the votes that are
    left, so that the order of the samples does not count; of classes with as many votes the first one wins, as in
    scikit-learn's KNeighborsClassifier.

    Parameters
    ----------
    points
        Finite numbers, (sample, feature).
    metric
        One of `METRICS`. A sample of zeros has no direction; its cosine distance to all others is 1.
    most
        Number of nearest samples to return; at most all others.
    labels
        Integers, (sample); negative ones are no label.
    neighbors
        How many vote; at most all others.

    Examples
    --------
    >>> line = np.array([[0.0], [1.0], [1.5], [9.0]])
    >>> near(line, most=1).indices[:, 1]
    array([1, 2, 1, 2])
    >>> near(line, labels=np.array([0, 0, 1, 1])).accuracy
    0.5
    """
    most = min(most, max(len(points) - 1, 0))
    labeled = np.empty(0, np.int64) if labels is None else np.flatnonzero(labels >= 0)
    classes = np.empty(0) if labels is None else np.unique(labels[labeled])
    is_class = np.empty((0, 0)) if labels is None else (labels[labeled, None] == classes).astype(np.float64)
    neighbors = min(neighbors, len(labeled) - 1)
    distances, indices = np.empty((len(points), 1 + most)), np.empty((len(points), 1 + most), np.int64)
    right = 0
    for lo, block in _blocks(points, metric):
        diagonal = np.arange(len(block))
        block[diagonal, lo + diagonal] = -1.0
        order = np.argsort(block, axis=1, kind="stable")[:, : 1 + most]
        indices[lo : lo + len(block)] = order
        distances[lo : lo + len(block)] = np.maximum(np.take_along_axis(block, order, 1), 0.0)
        if neighbors > 0:
            asked = (labeled >= lo) & (labeled < lo + len(block))
            block[diagonal, lo + diagonal] = np.inf
            voted = _votes(block[np.ix_(labeled[asked] - lo, labeled)], is_class, neighbors).argmax(1)
            right += int(is_class[asked, voted].sum())
    return Near(distances, indices, right / len(labeled) if neighbors > 0 else np.nan)


def chance(labels: np.ndarray) -> np.ndarray:
    """Return the majority-class rate, ().

    >>> chance(np.array([0, 1, 1, 1, -1]))
    array(0.75)
    """
    counts = np.unique(labels[labels >= 0], return_counts=True)[1]
    return np.asarray(counts.max() / counts.sum() if counts.size else np.nan)


def _blocks(points: np.ndarray, metric: str) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the distances of blocks of samples to all samples."""
    if metric == "cosine":
        norms = np.sqrt((points**2).sum(1, keepdims=True))
        pointless = norms[:, 0] == 0
        points = np.divide(points, norms, out=np.zeros_like(points), where=norms > 0)
    for lo in range(0, len(points), sizes.NEIGHBOR_SAMPLES):
        some = slice(lo, lo + sizes.NEIGHBOR_SAMPLES)
        if metric == "euclidean":
            yield lo, cdist(points[some], points)
            continue
        block = cdist(points[some], points, "sqeuclidean") / 2  # 1 − cosine, and exactly 0 of equal directions
        block[pointless[some]] = block[:, pointless] = 1.0
        yield lo, block


def _votes(distances: np.ndarray, is_class: np.ndarray, neighbors: int) -> np.ndarray:
    """Count votes, (sample, class), as whole numbers: those of each sample times the number that share a place."""
    if not len(distances):
        return np.empty((0, is_class.shape[1]))
    farthest = np.partition(distances, neighbors - 1, axis=1)[:, neighbors - 1 : neighbors]
    nearer, tied = distances < farthest, distances == farthest
    left = neighbors - nearer.sum(1, keepdims=True)
    return tied.sum(1, keepdims=True) * (nearer @ is_class) + left * (tied @ is_class)
