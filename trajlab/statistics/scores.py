"""Scores of a network on a probe: sums from which loss and accuracy follow.

Outputs are compared with class labels, as logits along the dim `unit`, or with values of their own shape.
"""

from typing import NamedTuple

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData

SCORES = ("nonfinite", "scored", "left_out", "loss", "right")
"""Columns of the scores of a step: outputs that are NaN or Inf; targets that are scored, and those left out because a
label is no class or an output is not finite; the summed loss and the number of correct predictions over scored ones."""

PER_CLASS = ("support", "said", "hits")
"""Columns for each class: scored targets (support), predictions of it, and correct predictions."""


class Task(NamedTuple):
    """Task of a network: the number of classes, or 0 for regression."""

    classes: int


def task_of(output: xr.DataArray, probe: xr.Dataset) -> Task:
    """Infer the task from the outputs and the targets: classification or regression.

    Raises
    ------
    MissingData
        The probe has no targets.
    BadSetting
        The targets fit the outputs neither as labels nor as values.
    """
    if "targets" not in probe:
        raise MissingData(
            "cannot score the outputs: the probe has no targets; record with Recorder(probe=(inputs, targets))."
        )
    targets = probe["targets"]
    shape = tuple(output.sizes[dim] for dim in output.dims if dim != "step")
    places = tuple(output.sizes[dim] for dim in output.dims if dim not in ("step", "unit"))
    if targets.dtype.kind in "iu" and targets.shape == places:
        return Task(output.sizes["unit"])
    if targets.dtype.kind == "f" and targets.size == np.prod(shape) and targets.shape[0] == shape[0]:
        return Task(0)
    raise BadSetting(
        f"cannot score the outputs: the targets are {targets.dtype} {targets.shape}, neither labels of shape {places} "
        f"nor values of shape {shape}; record a probe whose targets fit the outputs."
    )


def score_table(output: xr.DataArray, probe: xr.Dataset) -> xr.DataArray:
    """Score the outputs of each step, (step, column), a task for each chunk of steps; lazily.

    Parameters
    ----------
    output
        Outputs of the network, dims (step, sample, …, unit, …).
    probe
        Holds the `targets`.
    """
    task = task_of(output, probe)
    values = output.transpose("step", ..., "unit") if task.classes else output.transpose("step", ...)
    columns = [*SCORES, *(f"{name}_{label}" for name in PER_CLASS for label in range(task.classes))]
    data = values.data if values.chunks else da.from_array(values.values, chunks=(1, *values.shape[1:]))
    data = data.rechunk({axis: -1 for axis in range(1, data.ndim)})
    targets = probe["targets"].data
    targets = (targets if isinstance(targets, da.Array) else da.from_array(targets, chunks=-1)).rechunk(-1)
    table = da.blockwise(
        _scored, (0, -1), data, tuple(range(data.ndim)), targets, tuple(range(-1 - targets.ndim, -1)), task=task,
        new_axes={-1: len(columns)}, concatenate=True, dtype=np.float64, meta=np.empty((0, 0)),
    )  # fmt: skip
    labels = {"step": output["step"], "column": np.array(columns, dtype=object)}
    return xr.DataArray(table.rechunk(-1), labels, ("step", "column"), "scores")


def along(table: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the loss along a line, (alpha), and the barrier: its largest rise above the line between the ends.

    Parameters
    ----------
    table
        Scores of the points, dims (point, column).
    """
    alpha = np.linspace(0.0, 1.0, table.sizes["point"])
    loss = (table.sel(column="loss") / table.sel(column="scored")).values
    rise = loss - (loss[0] * (1 - alpha) + loss[-1] * alpha)
    return xr.DataArray(loss, {"alpha": alpha}), xr.DataArray(rise.max())


def _scored(values: np.ndarray, targets: np.ndarray, task: Task) -> np.ndarray:
    """Score some steps, (step, column)."""
    return np.stack([_score(row.astype(np.float64), targets, task.classes) for row in values])


def _score(values: np.ndarray, targets: np.ndarray, classes: int) -> np.ndarray:
    if not classes:
        wanted = targets.reshape(-1).astype(np.float64)
        finite = np.isfinite(values).reshape(-1) & np.isfinite(wanted)
        squares = (values.reshape(-1)[finite] - wanted[finite]) ** 2
        nonfinite = values.size - np.isfinite(values).sum()
        return np.array([nonfinite, finite.sum(), (~finite).sum(), squares.sum(), np.nan])
    logits, labels = values.reshape(-1, classes), targets.reshape(-1)
    finite = np.isfinite(logits)
    scored = finite.all(1) & (labels >= 0) & (labels < classes)
    logits, labels = logits[scored], labels[scored].astype(np.int64)
    top = logits.max(1, keepdims=True)
    spread = np.log(np.exp(logits - top).sum(1)) + top[:, 0]
    loss = spread - np.take_along_axis(logits, labels[:, None], 1)[:, 0]
    predicted = logits.argmax(1)
    counts = [np.bincount(group, minlength=classes) for group in (labels, predicted, labels[predicted == labels])]
    whole = [(~finite).sum(), scored.sum(), (~scored).sum(), loss.sum(), (predicted == labels).sum()]
    return np.concatenate([whole, *counts]).astype(np.float64)
