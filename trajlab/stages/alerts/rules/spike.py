"""Spike: a loss or gradient norm far above the values before it."""

import numpy as np

from trajlab.stages.alerts.rule import Rule, Verdict

NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def spike(signal: np.ndarray, *, spike_window: int, spike_min_values: int, spike_deviations: float) -> Verdict:
    """Fire where a value exceeds the median of those before it by many robust standard deviations.

    Parameters
    ----------
    signal
        The loss, or the norm of the whole gradient, (step).
    spike_window
        Number of preceding values that form the baseline; those that are not finite are left out.
    spike_min_values
        Smallest number of values in a baseline.
    spike_deviations
        Upper limit, in units of 1.4826 times the median absolute deviation of the baseline.
    """
    value = np.full(signal.shape, np.nan)
    for i in range(signal.size):
        baseline = signal[max(0, i - spike_window) : i]
        baseline = baseline[np.isfinite(baseline)]
        if baseline.size >= spike_min_values:
            median = np.median(baseline)
            value[i] = (signal[i] - median) / (NORMAL * np.median(abs(baseline - median)))
    return Verdict(value, value > spike_deviations)


RULE = Rule("Spike", "loss or gradients", (spike,), {"spike_window": 2, "spike_min_values": 2})
