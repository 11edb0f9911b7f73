"""VanishingGradient: gradients close to zero."""

import numpy as np

from trajlab.stages.alerts.rule import Rule, Verdict


def vanishing_gradient(mean_abs: np.ndarray, *, vanishing_gradient_threshold: float) -> Verdict:
    """Fire where the mean |g| of a gradient is below the threshold.

    Parameters
    ----------
    mean_abs
        Mean |g|, (step).
    vanishing_gradient_threshold
        Lower limit.
    """
    return Verdict(mean_abs, mean_abs < vanishing_gradient_threshold)


RULE = Rule("VanishingGradient", "gradients", (vanishing_gradient,))
