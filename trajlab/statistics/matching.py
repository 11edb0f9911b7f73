"""Match items one to one so that their mean similarity is largest, and how similar matches are by chance."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import linear_sum_assignment


def best_match(similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of the pairs whose mean similarity is largest, by the Hungarian algorithm.

    >>> rows, columns = best_match(np.array([[0.9, 0.8], [0.8, 0.0]]))
    >>> columns
    array([1, 0])
    """
    return linear_sum_assignment(similarity, maximize=True)


def shuffled_match(
    similarity: Callable[[np.ndarray], np.ndarray], samples: int, *, shuffles: int
) -> tuple[float, float]:
    """Return mean and 95 % quantile of the mean similarity of matched pairs after samples of one side are shuffled.

    Parameters
    ----------
    similarity
        Returns the similarities, (row, column), for an order of the samples of one side.
    samples
        Number of samples.
    shuffles
        How often to shuffle; without, both are NaN.
    """
    random = np.random.default_rng(0)
    chance = []
    for _ in range(shuffles):
        shuffled = similarity(random.permutation(samples))
        chance.append(shuffled[best_match(shuffled)].mean())
    return (float(np.mean(chance)), float(np.quantile(chance, 0.95))) if chance else (np.nan, np.nan)
