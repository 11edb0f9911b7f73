"""PoorWeightInitialization: three signs of it in the first few optimizer steps."""

import numpy as np

from trajlab.stages.alerts.rule import Rule, Verdict

SIGMAS = 4.0
"""Standard errors by which the loss must have risen."""


def _range(variances: np.ndarray) -> np.ndarray:
    """Return the ratio of the largest to the smallest variance, (layer, step) to (step); NaN for a single layer."""
    largest, smallest = np.fmax.reduce(variances), np.fmin.reduce(variances)
    return np.where(np.isfinite(variances).sum(0) > 1, largest / smallest, np.nan)


def geometric_variances(early_variances: np.ndarray, *, poor_weight_initialization_threshold: float) -> Verdict:
    """Fire where the variance changes by more than a factor from layer to layer, in the geometric mean.

    A poor scale compounds with depth, so that the ratio of the largest to the smallest variance grows with the number
    of layers; a single layer of another scale, such as one behind a normalization, says nothing.

    Parameters
    ----------
    early_variances
        Variance of each layer, (layer, step).
    poor_weight_initialization_threshold
        The factor.
    """
    steps_between = np.maximum(np.isfinite(early_variances).sum(0) - 1, 1)
    ratio = _range(early_variances) ** (1.0 / steps_between)
    return Verdict(ratio, ratio > poor_weight_initialization_threshold)


def small_gradient(early_relative_size: np.ndarray, *, poor_weight_initialization_distribution_range: float) -> Verdict:
    """Fire where the RMS of a gradient is below a share of the largest of all matrices.

    Parameters
    ----------
    early_relative_size
        RMS of the gradient over the largest, (step).
    poor_weight_initialization_distribution_range
        The share.
    """
    return Verdict(early_relative_size, early_relative_size < poor_weight_initialization_distribution_range)


def rising_loss(early_loss: np.ndarray, *, poor_weight_initialization_patience: int) -> Verdict:
    """Fire where the mean of the last n losses exceeds that of the n before by four standard errors.

    Parameters
    ----------
    early_loss
        The loss, (step).
    poor_weight_initialization_patience
        n.
    """
    n, value = poor_weight_initialization_patience, np.full(early_loss.shape, np.nan)
    for i in range(2 * n, early_loss.size + 1):
        before, after = early_loss[i - 2 * n : i - n], early_loss[i - n : i]
        error = np.hypot(before.std(), after.std()) / np.sqrt(max(n - 1, 1))
        rise = after.mean() - before.mean()
        value[i - 1] = 0.0 if rise == 0 else rise / error
    return Verdict(value, value > SIGMAS)


def uneven_variances(published_early_variances: np.ndarray, *, poor_weight_initialization_threshold: float) -> Verdict:
    """Fire where the largest variance of a layer exceeds the smallest by more than a factor.

    Parameters
    ----------
    published_early_variances
        Variance of each layer, (layer, step).
    poor_weight_initialization_threshold
        The factor.
    """
    ratio = _range(published_early_variances)
    return Verdict(ratio, ratio > poor_weight_initialization_threshold)


def narrow_gradient(
    early_quantile_05: np.ndarray,
    early_quantile_95: np.ndarray,
    *,
    poor_weight_initialization_distribution_range: float,
) -> Verdict:
    """Fire where the 5th and 95th percentile of a gradient are closer than a range.

    Parameters
    ----------
    early_quantile_05, early_quantile_95
        The percentiles, (step).
    poor_weight_initialization_distribution_range
        The range.
    """
    distance = early_quantile_95 - early_quantile_05
    return Verdict(distance, distance < poor_weight_initialization_distribution_range)


def stuck_loss(published_early_loss: np.ndarray, *, poor_weight_initialization_patience: int) -> Verdict:
    """Fire where the lowest loss is n or more recorded steps old; one loss alone is not checked.

    Parameters
    ----------
    published_early_loss
        The loss, (step).
    poor_weight_initialization_patience
        n.
    """
    value = np.full(published_early_loss.shape, np.nan)
    best = None
    for i, loss in enumerate(published_early_loss):
        if np.isfinite(loss) and (best is None or loss < published_early_loss[best]):
            best = i
        value[i] = np.nan if best is None or published_early_loss.size < 2 else i - best
    return Verdict(value, value >= poor_weight_initialization_patience)


RULE = Rule(
    "PoorWeightInitialization",
    "gradients, no loss, and no two layers with activations or weights of two dims",
    (geometric_variances, small_gradient, rising_loss, uneven_variances, narrow_gradient, stuck_loss),
    {"poor_weight_initialization_patience": 1, "poor_weight_initialization_steps": 1},
)
