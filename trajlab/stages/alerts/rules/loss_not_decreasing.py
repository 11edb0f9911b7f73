"""LossNotDecreasing: a loss that no longer falls."""

import numpy as np

from trajlab.stages.alerts.rule import Rule, Verdict


def loss_not_decreasing(
    steps: np.ndarray,
    loss: np.ndarray,
    *,
    loss_not_decreasing_num_steps: int,
    loss_not_decreasing_diff_percent: float,
) -> Verdict:
    """Fire where the loss fell by less than a percentage since it was last checked.

    Parameters
    ----------
    steps
        Optimizer steps.
    loss
        The loss, (step).
    loss_not_decreasing_num_steps
        The loss is checked at the first step, then at each next one at least this many optimizer steps later.
    loss_not_decreasing_diff_percent
        The percentage.
    """
    value = np.full(loss.shape, np.nan)
    last = 0
    for i in range(1, loss.size):
        if steps[i] - steps[last] >= loss_not_decreasing_num_steps:
            value[i] = 100.0 * (loss[last] - loss[i]) / abs(loss[last])
            last = i
    return Verdict(value, value < loss_not_decreasing_diff_percent)


RULE = Rule("LossNotDecreasing", "loss among the metrics", (loss_not_decreasing,), {"loss_not_decreasing_num_steps": 1})
