"""Spike: a loss or gradient norm far above the values before it."""

import numpy as np

from trajlab.stages.alerts.rule import Rule, Verdict

NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


DECIMALS = range(2, 7)
"""Numbers of decimals to which logs round."""


def spike(
    signal: np.ndarray,
    *,
    spike_window: int,
    spike_min_values: int,
    spike_deviations: float,
    spike_smallest_deviation: float = 0.01,
) -> Verdict:
    """Fire where a value exceeds the median of those before it by many robust standard deviations.

    Positive values are compared by their logarithm, as losses and norms scatter by factors, and so further above their
    median than below it.

    A baseline whose deviation is smaller than a share of its median, or than the decimal to which all its values are
    rounded, counts as deviating by that much: else any rise above values that are alike would be a spike.

    Parameters
    ----------
    signal
        The loss, or the norm of the whole gradient, (step).
    spike_window
        Number of preceding values that form the baseline; those that are not finite are left out.
    spike_min_values
        Smallest number of values in a baseline.
    spike_deviations
        Upper limit, in units of 1.4826 times the median absolute deviation of the baseline, or of its logarithm.
    spike_smallest_deviation
        Smallest such unit, as a share of the median of the baseline.
    """
    value = np.full(signal.shape, np.nan)
    for i in range(signal.size):
        baseline = signal[max(0, i - spike_window) : i]
        baseline = baseline[np.isfinite(baseline)]
        if baseline.size >= spike_min_values:
            median = np.median(baseline)
            smallest = max(spike_smallest_deviation * abs(median), _last_decimal(baseline))
            if min(baseline.min(), signal[i]) > 0:
                apart, beyond, smallest = np.log(baseline / median), np.log(signal[i] / median), smallest / median
            else:
                apart, beyond = baseline - median, signal[i] - median
            value[i] = beyond / max(NORMAL * np.median(abs(apart)), smallest)
    return Verdict(value, value > spike_deviations)


def _last_decimal(values: np.ndarray) -> float:
    """Return the decimal to which values are rounded, 0 if they are not.

    >>> _last_decimal(np.array([0.0005, 0.0004])), _last_decimal(np.array([0.1, 1 / 3]))
    (0.0001, 0.0)
    """
    decimals = next((n for n in DECIMALS if (np.round(values, n) == values).all()), None)
    return 0.0 if decimals is None else 10.0**-decimals


RULE = Rule("Spike", "loss or gradients", (spike,), {"spike_window": 2, "spike_min_values": 2})
