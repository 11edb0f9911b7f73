"""Correlation of features over samples: Pearson correlations, CKA, and matching of features between steps.

A feature is a column of numbers, one for each sample. Constant columns, and columns with a value that is not
finite, have no correlation and are left out.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trajlab import sizes
from trajlab.statistics.matching import best_match, shuffled_match

PAIRS = ("signed", "absolute", "cka")
"""Columns of two layers: Σρ and Σ|ρ| over pairs of their features, and the debiased CKA."""

CHANGES = ("cka_start", "cka_end", "matched_end", "matched_end_null", "matched_end_null_95", "own_end", "kept_end")
"""Columns of a layer at a step, as `changes` returns them."""

FEWEST = 4
"""Fewest samples for which the debiased CKA is defined."""


class Features(NamedTuple):
    """Features of a layer that are not constant.

    Parameters
    ----------
    directions
        Their values less the mean, at length 1, (sample, feature).
    weights
        Share of each in their total variance, (feature).
    units
        Positions of their columns, (feature).
    constant
        Number of finite columns that are constant.
    """

    directions: np.ndarray
    weights: np.ndarray
    units: np.ndarray
    constant: int

    @property
    def sizes(self) -> np.ndarray:
        """Squared distance of each sample from the mean, as a share of the total, (sample)."""
        return self.directions**2 @ self.weights


def features_of(values: np.ndarray) -> Features:
    """Standardize the columns (sample, unit) that are finite and not constant.

    >>> found = features_of(np.array([[0.0, 1.0, np.nan], [2.0, 1.0, 0.0]]))
    >>> found.directions.ravel(), found.constant
    (array([-0.70710678,  0.70710678]), 1)
    """
    finite = np.isfinite(values).all(0)
    varies = finite.copy()
    columns = values[:, finite]
    varies[finite] = columns.max(0, initial=-np.inf) > columns.min(0, initial=np.inf)
    units = np.flatnonzero(varies)
    centered = values[:, units]
    centered = centered - centered.sum(0) / max(len(values), 1)
    largest = abs(centered).max(0, initial=0.0)
    centered /= largest
    length = np.sqrt((centered**2).sum(0))
    size = length * largest
    weights = (size / size.max(initial=0.0)) ** 2
    return Features(centered / length, weights / weights.sum(), units, int(finite.sum() - len(units)))


def pairs(layers: Sequence[Features]) -> np.ndarray:
    """Correlate the features of all layers and return `PAIRS` of each two, (layer, layer, column)."""
    table = np.full((len(layers), len(layers), len(PAIRS)), np.nan)
    squares = np.empty((len(layers), len(layers)))
    for i, a in enumerate(layers):
        for j in range(i, len(layers)):
            signed, absolute, squares[i, j] = _sums(a, layers[j])
            table[i, j, :2] = table[j, i, :2] = signed, absolute
            squares[j, i] = squares[i, j]
    if layers:
        table[..., 2] = _normalized(_hsic(squares, np.stack([layer.sizes for layer in layers])))
    return table


def cka(a: Features, b: Features) -> float:
    """Return the debiased linear CKA of two sets of features of the same samples; NaN for fewer than four samples."""
    two = (a, b)
    squares = np.array([[_sums(first, second)[2] for second in two] for first in two])
    return float(_normalized(_hsic(squares, np.stack([features.sizes for features in two])))[0, 1])


def _sums(a: Features, b: Features) -> tuple[float, float, float]:
    """Return Σρ, Σ|ρ| and the sum of squared covariances, |XᵀY|² of sets of variance 1."""
    signed = absolute = squares = 0.0
    for first in range(0, len(a.units), sizes.CORRELATION_FEATURES):
        part = a.directions[:, first : first + sizes.CORRELATION_FEATURES].T @ b.directions
        signed += part.sum()
        squares += a.weights[first : first + sizes.CORRELATION_FEATURES] @ (part**2 @ b.weights)
        absolute += np.abs(part, out=part).sum()
    return signed, absolute, squares


def _hsic(squares: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the unbiased HSIC of linear kernels of centered features, up to a factor, (set, set).

    It is tr(K̃L̃) + 1ᵀK̃1·1ᵀL̃1 / ((n−1)(n−2)) − 2·1ᵀK̃L̃1 / (n−2), where K̃ is K without its diagonal (Song et al.
    2012, eq. 5). As the features are centered, K1 = 0, and everything follows from |XᵀY|² and the diagonals of K and L.
    """
    n = sizes.shape[1]
    if n < FEWEST:
        return np.full_like(squares, np.nan)
    diagonals, whole = sizes @ sizes.T, sizes.sum(1)
    return squares - diagonals + np.outer(whole, whole) / ((n - 1) * (n - 2)) - 2 / (n - 2) * diagonals


def _normalized(hsic: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.sqrt(np.diag(hsic))
        return hsic / np.outer(size, size)


def changes(start: Features, now: Features, end: Features, *, shuffles: int) -> np.ndarray:
    """Compare the features of a layer with those at the start and at the end; return `CHANGES`.

    Parameters
    ----------
    start, now, end
        The features at three steps.
    shuffles
        Number of shuffles of the samples of the last step, for the correlation of matched features by chance.
    """
    row = dict.fromkeys(CHANGES, np.nan) | {"cka_start": cka(start, now), "cka_end": cka(now, end)}
    if len(now.units) and len(end.units):
        correlation = now.directions.T @ end.directions
        rows, columns = best_match(correlation)
        row["matched_end"] = correlation[rows, columns].mean()
        row["matched_end_null"], row["matched_end_null_95"] = shuffled_match(
            lambda order: now.directions.T @ end.directions[order], len(end.directions), shuffles=shuffles
        )
        _, before, after = np.intersect1d(now.units, end.units, assume_unique=True, return_indices=True)
        if len(before):
            row["own_end"] = correlation[before, after].mean()
        row["kept_end"] = (now.units[rows] == end.units[columns]).mean()
    return np.array(list(row.values()))


def feature_matrix(values: np.ndarray) -> np.ndarray:
    """Correlate columns, (unit, unit) float32; NaN where one is left out.

    >>> feature_matrix(np.array([[0.0, 1.0, 5.0], [2.0, 0.0, 5.0]]))[0]
    array([ 1., -1., nan], dtype=float32)
    """
    features = features_of(values)
    matrix = np.full((values.shape[1],) * 2, np.nan, np.float32)
    matrix[np.ix_(features.units, features.units)] = np.clip(features.directions.T @ features.directions, -1.0, 1.0)
    return matrix


def cosine_matrix(values: np.ndarray) -> np.ndarray:
    """Return the cosine of columns, (unit, unit) float32; NaN where one is 0 everywhere or not finite.

    >>> cosine_matrix(np.array([[1.0, 3.0, 0.0], [0.0, 4.0, 0.0]])).round(1)[0]
    array([1. , 0.6, nan], dtype=float32)
    """
    with np.errstate(all="ignore"):
        largest = abs(values).max(0, initial=0.0)
        scaled = values / largest
        directions = scaled / np.sqrt((scaled**2).sum(0))
        cosines = np.where(np.isfinite(directions).all(0), directions, np.nan)
        return np.clip(cosines.T @ cosines, -1.0, 1.0).astype(np.float32)


def cross_matrix(values: np.ndarray, *, split: int, covariance: bool = False) -> np.ndarray:
    """Correlate the first columns with the others, (unit, unit) float32, or return their covariance.

    Parameters
    ----------
    values
        Features of two layers side by side, (sample, unit).
    split
        Number of features of the first layer.
    covariance
        Whether to return Σ(x − x̄)(y − ȳ)/(n − 1) of finite columns, also of constant ones.

    Examples
    --------
    >>> cross_matrix(np.array([[0.0, 1.0, 5.0], [2.0, 0.0, 5.0]]), split=1)
    array([[-1., nan]], dtype=float32)
    """
    if not covariance:
        return feature_matrix(values)[:split, split:]
    centered = values - values.sum(0) / max(len(values), 1)
    with np.errstate(all="ignore"):
        return (centered[:, :split].T @ centered[:, split:] / (len(values) - 1.0)).astype(np.float32)


def sample_matrix(values: np.ndarray) -> np.ndarray:
    """Correlate rows over the finite columns, (sample, sample) float32; NaN for constant rows."""
    return feature_matrix(values[:, np.isfinite(values).all(0)].T)
