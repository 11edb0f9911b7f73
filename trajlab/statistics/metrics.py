"""Usual names and roles of metrics, metrics as columns, and at which steps they were measured."""

import re
from collections.abc import Iterable

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.runs.measured import mark_of

LOSSES = ("loss", "train_loss", "training_loss", "loss/train", "train/loss")
VALIDATION_LOSSES = ("validation_loss", "val_loss", "valid_loss", "eval_loss", "test_loss", "loss/val", "val/loss")
"""Names under which training scripts log them."""

TRAINING, VALIDATION, RATE, NORM, SCORE, OTHER = (
    "training loss", "validation loss", "learning rate", "gradient norm", "score", "other"
)  # fmt: skip
ROLES = (TRAINING, VALIDATION, RATE, NORM, SCORE, OTHER)
"""Roles of metrics."""

HELD_OUT = re.compile(r"(^|[/_.-])(eval|val|valid|validation|test|dev)($|[/_.-])")
BY_NAME = (
    (RATE, re.compile(r"(^|[/_.-])(lr|learning_rate)($|[/_.-])")),
    (NORM, re.compile(r"grad(ient)?[/_.-]?norm")),
    (TRAINING, re.compile(r"(^|[/_.-])(loss|nll|cross_entropy)($|[/_.-])")),
    (SCORE, re.compile(r"(^|[/_.-])(acc|accuracy|top\d+|f1|auc|auroc|bleu|rouge\w*|precision|recall|iou)($|[/_.-])")),
)  # fmt: skip
"""What names of metrics hold, by role."""


def role_of(metric: str) -> str:
    """Return the role of a metric by its name.

    >>> [role_of(name) for name in ("eval_loss", "train/loss", "lr-Adam", "grad_norm", "val_acc", "epoch")]
    ['validation loss', 'training loss', 'learning rate', 'gradient norm', 'score', 'other']
    """
    name = metric.lower()
    if name in LOSSES or name in VALIDATION_LOSSES:
        return TRAINING if name in LOSSES else VALIDATION
    role = next((role for role, pattern in BY_NAME if pattern.search(name)), OTHER)
    return VALIDATION if role == TRAINING and HELD_OUT.search(name) else role


def metric_name(requested: str, names: list[str], usual: tuple[str, ...]) -> str:
    """Return the requested metric, or the first usual one; empty if the run has neither."""
    return next((name for name in ([requested] if requested else usual) if name in names), "")


def marks_of(metric: str, metrics: xr.Dataset) -> xr.DataArray | None:
    """Return whether a metric was measured, (step) bool; None if the run does not say."""
    name = mark_of(metric, metrics)
    return metrics[name] if name in metrics.coords and metrics[name].dims == ("step",) else None


def metric_columns(metrics: xr.Dataset | None) -> tuple[xr.DataArray, xr.DataArray] | None:
    """Return all metrics of a single number a step, (step, column), lazily, and at which steps each was measured.

    The second is 1, 0, or NaN where the run does not say. None without such metrics.
    """
    columns = {str(name): array for name, array in (metrics or {}).items() if array.dims == ("step",)}
    if metrics is None or not columns:
        return None
    marks = [marks_of(name, metrics) for name in columns]
    unknown = xr.DataArray(np.full(metrics.sizes["step"], np.nan), dims="step")
    labels = {"step": metrics["step"].variable, "column": np.array(list(columns), dtype=object)}
    values = xr.DataArray(_side_by_side(columns.values()), labels, ("step", "column"), "values")
    measured = _side_by_side([unknown if mark is None else mark for mark in marks])
    return values, xr.DataArray(measured, labels, ("step", "column"), "measured")


def _side_by_side(columns: Iterable[xr.DataArray]) -> da.Array:
    return da.stack([da.asarray(column.data).astype(np.float64) for column in columns], axis=1).rechunk(-1)


def is_measured(values: np.ndarray, steps: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Return at which steps a metric was measured, (step) bool: by its marks or, without these, by its interval."""
    return likely_measured(values, steps) if np.isnan(marks).any() else marks == 1


def likely_measured(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Guess at which steps a metric without marks was measured, (step) bool: at all that its interval reaches.

    The interval is the greatest common divisor of the distances between steps with a number. Without two numbers, every
    step counts as measured.

    >>> likely_measured(np.array([2.0, np.nan, 1.5, np.nan, np.nan]), np.array([0, 5, 10, 15, 20]))
    array([ True, False,  True, False,  True])
    """
    numbers = ~np.isnan(values)
    interval = int(np.gcd.reduce(np.diff(steps[numbers]))) if numbers.sum() > 1 else 0
    if not interval:
        return np.ones(len(steps), bool)
    return numbers | ((steps - steps[numbers][0]) % interval == 0)
