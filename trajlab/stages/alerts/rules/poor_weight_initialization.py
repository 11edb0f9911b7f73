"""PoorWeightInitialization: three signs of it in the first few optimizer steps."""

import numpy as np

from trajlab.stages.alerts.rule import Rule, Verdict


def uneven_variances(early_variances: np.ndarray, *, poor_weight_initialization_threshold: float) -> Verdict:
    """Fire where the largest variance of a layer exceeds the smallest by more than a factor.

    Parameters
    ----------
    early_variances
        Variance of each layer, (layer, step).
    poor_weight_initialization_threshold
        The factor.
    """
    largest, smallest = np.fmax.reduce(early_variances), np.fmin.reduce(early_variances)
    ratio = np.where(np.isfinite(early_variances).sum(0) > 1, largest / smallest, np.nan)
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


def stuck_loss(early_loss: np.ndarray, *, poor_weight_initialization_patience: int) -> Verdict:
    """Fire where the lowest loss is n or more recorded steps old; one loss alone is not checked.

    Parameters
    ----------
    early_loss
        The loss, (step).
    poor_weight_initialization_patience
        n.
    """
    value = np.full(early_loss.shape, np.nan)
    best = None
    for i, loss in enumerate(early_loss):
        if np.isfinite(loss) and (best is None or loss < early_loss[best]):
            best = i
        value[i] = np.nan if best is None or early_loss.size < 2 else i - best
    return Verdict(value, value >= poor_weight_initialization_patience)


RULE = Rule(
    "PoorWeightInitialization",
    "gradients, no loss, and no two layers with activations or weights of two dims",
    (uneven_variances, narrow_gradient, stuck_loss),
    {"poor_weight_initialization_patience": 1, "poor_weight_initialization_steps": 1},
)
