"""Overfit: a validation loss that rises while it is above the training loss."""

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
    """Fire where the validation loss has risen by a share of its lowest, and exceeds the training loss by as much.

    A validation loss that still falls, if slower than that of training, is no reason to stop.

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
        Number of validations in a row.
    overfit_ratio_threshold
        The share.
    """
    gap = _gap(steps, training_loss, validation_loss, overfit_start_step)
    lowest = np.fmin.accumulate(np.where(np.isfinite(gap), validation_loss, np.nan))
    value = np.minimum(gap, (validation_loss - lowest) / abs(lowest))
    return Verdict(value, _in_a_row(value > overfit_ratio_threshold, np.isfinite(value)) >= overfit_patience)


def gap_alone(
    steps: np.ndarray,
    training_loss: np.ndarray,
    published_validation_loss: np.ndarray,
    *,
    overfit_start_step: int,
    overfit_patience: int,
    overfit_ratio_threshold: float,
) -> Verdict:
    """Fire where (validation − training) / training exceeds the threshold, as in SageMaker Debugger.

    Parameters
    ----------
    steps, training_loss, overfit_start_step, overfit_patience, overfit_ratio_threshold
        As in `overfit`.
    published_validation_loss
        The validation loss.
    """
    value = _gap(steps, training_loss, published_validation_loss, overfit_start_step)
    return Verdict(value, _in_a_row(value > overfit_ratio_threshold, np.isfinite(value)) >= overfit_patience)


def _gap(steps: np.ndarray, training_loss: np.ndarray, validation_loss: np.ndarray, start_step: int) -> np.ndarray:
    """Return (validation − training) / training at each validation, NaN elsewhere."""
    gap, first = np.full(steps.shape, np.nan), 0
    for i in np.flatnonzero(np.isfinite(validation_loss)):
        since = training_loss[first : i + 1]
        since = since[np.isfinite(since)]
        first = int(i) + 1
        if steps[i] >= start_step and since.size:
            gap[i] = (validation_loss[i] - since.mean()) / since.mean()
    return gap


def _in_a_row(exceeds: np.ndarray, checked: np.ndarray) -> np.ndarray:
    """Count the checked steps in a row that exceed the threshold; 0 at steps that are not checked."""
    counts, row = np.zeros(len(exceeds)), 0
    for i in np.flatnonzero(checked):
        row = row + 1 if exceeds[i] else 0
        counts[i] = row
    return counts


RULE = Rule("Overfit", "training and validation loss among the metrics", (overfit, gap_alone), {"overfit_patience": 1})
