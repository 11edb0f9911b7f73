"""Errors of distances between steps and of shares of principal components, from samples of the entries of tensors."""

from typing import Any

import numpy as np

from trajlab.scan.kernels.gram import Components
from trajlab.scan.track import flat_rows


def _sampled_rows(sample: Any) -> np.ndarray:
    """Return the rows of a sample, (step, entry) float64; 0 for entries that are not finite at some step."""
    rows = np.array(flat_rows(sample)).astype(np.float64)
    rows[:, ~np.isfinite(rows).all(0)] = 0.0
    return rows


def _total_variance(values: np.ndarray, entries: int) -> np.ndarray:
    """Return the variance of the estimated total over all entries of values of those of a sample, (…, entry).

    It is N²·(1 − n/N)·s²/n (Cochran 1977, theorem 2.2), unknown for a single entry.
    """
    n = values.shape[-1]
    if n < 2:
        return np.full(values.shape[:-1], np.nan)
    return entries**2 * (1.0 - n / entries) * values.var(axis=-1, ddof=1) / n


def distance_variance(sample: Any, steps: int, anchors: np.ndarray, entries: int) -> np.ndarray:
    """Return the variance of the squared distance from each anchor, (step, anchor); 0 where all entries are there."""
    out = np.zeros((steps, len(anchors)))
    if sample is None:
        return out
    rows = _sampled_rows(sample)
    for column, anchor in enumerate(anchors):
        out[:, column] = _total_variance((rows - rows[anchor]) ** 2, entries)
    return out


def distance_error(whole: Components, variance: np.ndarray) -> np.ndarray:
    """Return the standard errors of distances, (step, anchor), from those of their squares; 0 where these have none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.where(variance > 0, np.sqrt(variance) / (2.0 * whole.distance), variance)
    return np.where(np.isnan(whole.distance), np.nan, error)


def share_variance(whole: Components, sample: Any, center: str, at: np.ndarray, entries: int) -> np.ndarray:
    """Return what a tensor adds to the variances of explained variance ratios, (component); 0 if it is no sample.

    To first order a ratio λ/Σλ changes with the products G of deviations by (vᵀ dG v − ratio · tr dG) / Σλ, where v is
    the eigenvector of λ: its error is that of a total over the entries (Stewart and Sun 1990, Matrix Perturbation
    Theory, section V.2).

    Parameters
    ----------
    whole
        The components.
    sample
        Rows of the sample, None if all entries are there.
    center
        What deviations are taken from.
    at
        Positions of the steps of the components among those of the tensor.
    entries
        Number of entries of the tensor.
    """
    if sample is None or len(at) < 2 or np.isnan(whole.shares).all():
        return 0.0 * whole.shares
    rows = _sampled_rows(sample)[at]
    rows -= rows[-1] if center == "last" else rows.mean(0)
    squares = (whole.scores**2).sum(0)
    directions = whole.scores / np.sqrt(np.where(squares > 0, squares, 1.0))
    changes = (directions.T @ rows) ** 2 - whole.shares[:, None] * (rows**2).sum(0)
    return _total_variance(changes * (whole.shares[0] / squares[0]), entries)


def share_errors(variances: list[list[np.ndarray]]) -> np.ndarray:
    """Return the square root of the sums of variances, (parameter, component)."""
    return np.sqrt([np.sum(of_tensors, axis=0) for of_tensors in variances])
