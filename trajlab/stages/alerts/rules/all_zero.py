"""AllZero: a tensor of zeros."""

import numpy as np

from trajlab.stages.alerts.rule import Rule, Verdict


def all_zero(zeros: np.ndarray, entries: np.ndarray, *, all_zero_threshold: float) -> Verdict:
    """Fire where the percentage of exact zeros reaches the threshold.

    Parameters
    ----------
    zeros, entries
        Number of zeros, and of entries, (step).
    all_zero_threshold
        Percentage of zeros from which it fires.
    """
    percent = 100.0 * zeros / entries
    return Verdict(percent, percent >= all_zero_threshold)


RULE = Rule("AllZero", "gradients, and no weights of two dims or more", (all_zero,))
