"""WeightUpdateRatio: updates that are too large or too small compared with the weights."""

import numpy as np

from trajlab.stages.alerts.rule import Rule, Verdict


def weight_update_ratio(
    change: np.ndarray,
    size: np.ndarray,
    *,
    weight_update_ratio_large_threshold: float,
    weight_update_ratio_small_threshold: float,
    weight_update_ratio_epsilon: float,
) -> Verdict:
    """Fire where change / (size + ε) is above the upper or below the lower threshold.

    Parameters
    ----------
    change, size
        Mean |w_t − w_prev| and mean |w_prev|, (step); NaN at the first.
    weight_update_ratio_large_threshold, weight_update_ratio_small_threshold
        Upper and lower limit.
    weight_update_ratio_epsilon
        ε, which keeps the ratio finite.
    """
    ratio = change / (size + weight_update_ratio_epsilon)
    return Verdict(ratio, (ratio > weight_update_ratio_large_threshold) | (ratio < weight_update_ratio_small_threshold))


RULE = Rule("WeightUpdateRatio", "weights of two dims or more", (weight_update_ratio,))
