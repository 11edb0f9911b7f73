"""LossNotDecreasing: a loss that does not fall, or that gives back what it had gained."""

import numpy as np

from trajlab.stages.alerts.rule import Rule, Verdict

REGAINED = 0.5
"""Share of its largest fall that a loss may give back before it no longer counts as fallen."""

SIGMAS = 1.0
"""Standard errors by which the mean of a window must be below that of the first."""

EARLIEST, RISEN = 5, 1.5
"""Losses whose median is that of the start, and the factor of it up to which the mean of the first window counts: in a
run that diverges at once, any later loss would be below this mean."""

LONGEST = 50
"""Values of a window of automatic length, where there are four times as many."""


def loss_not_decreasing(
    steps: np.ndarray,
    loss: np.ndarray,
    *,
    loss_not_decreasing_num_steps: int,
    loss_not_decreasing_diff_percent: float,
    loss_not_decreasing_window: int = 0,
) -> Verdict:
    """Fire where the mean loss over a window is not below that over the first window.

    Losses of single batches are too noisy to compare: in a run that learns slowly, the later of two is larger almost
    every second time. A loss that has fallen and stays there has converged, and nothing is wrong; one that gives back
    half of its largest fall counts as not fallen.

    Parameters
    ----------
    steps
        Optimizer steps.
    loss
        The loss, (step).
    loss_not_decreasing_num_steps
        The loss is checked at the end of the second window, then at each next step at least this many later.
    loss_not_decreasing_diff_percent
        Percentage by which it must have fallen; and by a standard error of the difference.
    loss_not_decreasing_window
        Number of recorded losses in a window; 0 for a quarter of all, at most 50.
    """
    window = loss_not_decreasing_window or int(np.clip(loss.size // 4, 1, LONGEST))
    value, required = np.full((2, loss.size), np.nan)
    if loss.size < 2 * window:
        return Verdict(value, value < required)
    windows = np.lib.stride_tricks.sliding_window_view(loss, window)
    first = np.median(loss[:EARLIEST])
    start = min(windows[0].mean(), first + (RISEN - 1.0) * abs(first))
    percent = 100.0 / abs(start)
    fall, error = percent * (start - windows.mean(1)), percent * windows.std(1) / np.sqrt(window)
    last, largest = -np.inf, 0.0
    for i in range(2 * window - 1, loss.size):
        if steps[i] - last >= loss_not_decreasing_num_steps:
            at, last = i - window + 1, steps[i]
            value[i], largest = fall[at], max(largest, fall[at])
            beyond_noise = SIGMAS * np.hypot(error[0], error[at])
            required[i] = max(loss_not_decreasing_diff_percent, beyond_noise, REGAINED * largest)
    return Verdict(value, value < required)


def loss_of_single_steps(
    steps: np.ndarray,
    published_loss: np.ndarray,
    *,
    loss_not_decreasing_num_steps: int,
    loss_not_decreasing_diff_percent: float,
) -> Verdict:
    """Fire where the loss fell by less than a percentage since it was last checked, as in SageMaker Debugger.

    Parameters
    ----------
    steps
        Optimizer steps.
    published_loss
        The loss, (step).
    loss_not_decreasing_num_steps
        The loss is checked at the first step, then at each next one at least this many optimizer steps later.
    loss_not_decreasing_diff_percent
        The percentage.
    """
    value = np.full(published_loss.shape, np.nan)
    last = 0
    for i in range(1, published_loss.size):
        if steps[i] - steps[last] >= loss_not_decreasing_num_steps:
            value[i] = 100.0 * (published_loss[last] - published_loss[i]) / abs(published_loss[last])
            last = i
    return Verdict(value, value < loss_not_decreasing_diff_percent)


RULE = Rule(
    "LossNotDecreasing",
    "loss among the metrics",
    (loss_not_decreasing, loss_of_single_steps),
    {"loss_not_decreasing_num_steps": 1},
)
