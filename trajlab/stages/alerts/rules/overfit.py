"""Overfit: a validation loss above the training loss."""

import numpy as np

from trajlab.stages.alerts.rule import Rule, Verdict


def overfit(
    steps: np.ndarray,
    training_loss: np.ndarray,
    validation_loss: np.ndarray,
    *,
    overfit_start_step: int,
    overfit_patience: int,
    overfit_ratio_threshold: float,
) -> Verdict:
    """Fire where (validation − training) / training exceeds the threshold at n validations in a row.

    Parameters
    ----------
    steps
        Optimizer steps.
    training_loss, validation_loss
        The losses, (step), NaN where they were not measured. A validation loss is compared with the mean training loss
        since the validation before.
    overfit_start_step
        First step that is checked.
    overfit_patience
        n.
    overfit_ratio_threshold
        Upper limit.
    """
    value, fires = np.full(steps.shape, np.nan), np.zeros(steps.shape, bool)
    first = exceeded = 0
    for i in np.flatnonzero(np.isfinite(validation_loss)):
        since = training_loss[first : i + 1]
        since = since[np.isfinite(since)]
        first = int(i) + 1
        if steps[i] < overfit_start_step or not since.size:
            continue
        value[i] = (validation_loss[i] - since.mean()) / since.mean()
        exceeded = exceeded + 1 if value[i] > overfit_ratio_threshold else 0
        fires[i] = exceeded >= overfit_patience
    return Verdict(value, fires)


RULE = Rule("Overfit", "training and validation loss among the metrics", (overfit,), {"overfit_patience": 1})
