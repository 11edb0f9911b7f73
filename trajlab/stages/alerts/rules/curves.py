"""Rules on what was measured at each step: losses, and the norm of the gradient, (step) each."""

import numpy as np

from trajlab.stages.alerts.rules.verdict import Verdict

NORMAL = 1.4826
"""Standard deviations of a normal distribution in its median absolute deviation."""


def loss_not_decreasing(steps: np.ndarray, loss: np.ndarray, *, num_steps: int, diff_percent: float) -> Verdict:
    """Fire where the loss fell by less than so many per cent over the steps since it was looked at last.

    Parameters
    ----------
    steps
        Optimizer steps.
    loss
        The loss.
    num_steps
        It is looked at first at the first step, and then at each next one that is at least so many steps later.
    diff_percent
        Per cent of its size by which it has to fall.
    """
    value = np.full(loss.shape, np.nan)
    last = 0
    for i in range(1, loss.size):
        if steps[i] - steps[last] >= num_steps:
            value[i] = 100.0 * (loss[last] - loss[i]) / abs(loss[last])
            last = i
    return Verdict(value, value < diff_percent)


def stuck_loss(early_loss: np.ndarray, *, patience: int) -> Verdict:
    """Fire where the lowest loss is so many steps old or older: poor initialization, in the first few steps."""
    value = np.full(early_loss.shape, np.nan)
    best = None
    for i, one in enumerate(early_loss):
        if np.isfinite(one) and (best is None or one < early_loss[best]):
            best = i
        value[i] = np.nan if best is None else i - best
    return Verdict(value, value >= patience)


def overfit(
    steps: np.ndarray, training: np.ndarray, validation: np.ndarray, *, start_step: int, patience: int,
    ratio_threshold: float,
) -> Verdict:  # fmt: skip
    """Fire where the validation loss is above the training loss by more than a share of it, time and again.

    Parameters
    ----------
    steps
        Optimizer steps.
    training, validation
        The losses, NaN where they were not measured. A validation loss is held against the mean training loss since
        the validation before.
    start_step
        Step to begin at.
    patience
        Validations in a row at which it has to be so.
    ratio_threshold
        Limit of (validation − training) / training.
    """
    value, fires = np.full(steps.shape, np.nan), np.zeros(steps.shape, bool)
    first = exceeded = 0
    for i in np.flatnonzero(np.isfinite(validation)):
        since = training[first : i + 1]
        since = since[np.isfinite(since)]
        first = int(i) + 1
        if steps[i] < start_step or not since.size:
            continue
        value[i] = (validation[i] - since.mean()) / since.mean()
        exceeded = exceeded + 1 if value[i] > ratio_threshold else 0
        fires[i] = exceeded >= patience
    return Verdict(value, fires)


def spike(signal: np.ndarray, *, window: int, least: int, deviations: float) -> Verdict:
    """Fire where a value stands out above those before it.

    Parameters
    ----------
    signal
        Such as the loss.
    window
        The baseline is the median of so many values before, less those that are not finite.
    least
        Values that a baseline needs.
    deviations
        Robust standard deviations above it, 1.4826 times the median absolute deviation each, that make a spike.
    """
    value = np.full(signal.shape, np.nan)
    for i in range(signal.size):
        before = signal[max(0, i - window) : i]
        before = before[np.isfinite(before)]
        if before.size >= least:
            median = np.median(before)
            value[i] = (signal[i] - median) / (NORMAL * np.median(abs(before - median)))
    return Verdict(value, value > deviations)
