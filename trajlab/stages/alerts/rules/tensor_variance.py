"""TensorVariance: a matrix whose entries vary too much or too little."""

import numpy as np

from trajlab.stages.alerts.rule import Rule, Verdict


def tensor_variance(
    variance: np.ndarray, *, tensor_variance_max_threshold: float, tensor_variance_min_threshold: float
) -> Verdict:
    """Fire where the variance of the entries is above the upper or below the lower threshold.

    Parameters
    ----------
    variance
        Variance of the entries, (step).
    tensor_variance_max_threshold, tensor_variance_min_threshold
        Upper and lower limit.
    """
    return Verdict(variance, (variance > tensor_variance_max_threshold) | (variance < tensor_variance_min_threshold))


RULE = Rule("TensorVariance", "weights of two dims or more", (tensor_variance,))
