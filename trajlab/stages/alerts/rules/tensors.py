"""Rules on a single weight or gradient, at the steps at which it was recorded, (step) each."""

import numpy as np

from trajlab.stages.alerts.rules.verdict import Verdict


def vanishing_gradient(mean_abs: np.ndarray, *, threshold: float) -> Verdict:
    """Fire where the mean size of an entry is below a threshold."""
    return Verdict(mean_abs, mean_abs < threshold)


def exploding_tensor(nonfinite: np.ndarray) -> Verdict:
    """Fire where an entry is NaN or Inf."""
    return Verdict(nonfinite, nonfinite > 0)


def all_zero(zeros: np.ndarray, entries: np.ndarray, *, threshold: float) -> Verdict:
    """Fire where at least so many per cent of the entries are exactly zero."""
    percent = 100.0 * zeros / entries
    return Verdict(percent, percent >= threshold)


def unchanged_tensor(apart: np.ndarray, entries: np.ndarray, *, num_steps: int) -> Verdict:
    """Fire where the last so many recorded tensors are each close to the one before.

    Parameters
    ----------
    apart
        Entries that are not close to what they were at the recorded step before, NaN at the first one.
    entries
        Entries of the tensor.
    num_steps
        Recorded steps, this one among them, over which nothing may have changed.
    """
    alike = np.ones(apart.shape)
    for i in range(1, apart.size):
        alike[i] = alike[i - 1] + 1 if apart[i] == 0 else 1
    value = np.where(entries > 0, alike, np.nan)
    return Verdict(value, value >= num_steps)


def tensor_variance(variance: np.ndarray, *, max_threshold: float, min_threshold: float) -> Verdict:
    """Fire where the variance of the entries is above one threshold or below the other."""
    return Verdict(variance, (variance > max_threshold) | (variance < min_threshold))


def weight_update_ratio(
    change: np.ndarray, size: np.ndarray, *, large_threshold: float, small_threshold: float, epsilon: float
) -> Verdict:
    """Fire where an update is too large or too small against the weights.

    Parameters
    ----------
    change, size
        Mean of |w_t − w_prev| and of |w_prev|; NaN at the first step.
    large_threshold, small_threshold
        Limits of change / (size + epsilon).
    epsilon
        Keeps the ratio finite.
    """
    ratio = change / (size + epsilon)
    return Verdict(ratio, (ratio > large_threshold) | (ratio < small_threshold))


def narrow_gradient(quantile_05: np.ndarray, quantile_95: np.ndarray, *, distribution_range: float) -> Verdict:
    """Fire where the 5th and the 95th percentile of a gradient are closer than a range: poor initialization."""
    spread = quantile_95 - quantile_05
    return Verdict(spread, spread < distribution_range)


def uneven_variances(variances: np.ndarray, *, threshold: float) -> Verdict:
    """Fire where the largest variance of a layer is more than so many times the smallest: poor initialization.

    Parameters
    ----------
    variances
        Variance of each layer, (layer, step).
    threshold
        Limit of the ratio.
    """
    largest, smallest = np.fmax.reduce(variances), np.fmin.reduce(variances)
    ratio = np.where(np.isfinite(variances).sum(0) > 1, largest / smallest, np.nan)
    return Verdict(ratio, ratio > threshold)


def rank_collapse(rank: np.ndarray, *, share: float) -> Verdict:
    """Fire where the rank of a matrix is below a share of the first one known."""
    known = rank[np.isfinite(rank)]
    left = rank / (known[0] if known.size else np.nan)
    return Verdict(left, left < share)
