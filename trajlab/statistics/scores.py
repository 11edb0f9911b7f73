"""Scores of a network on a probe: sums from which loss and accuracy follow.

Outputs are compared with class labels, as logits along the dim `unit`, with a label for each output, or with values of
their own shape: see `trajlab.statistics.tasks`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import dask.array as da
import numpy as np
import xarray as xr

from trajlab.errors import MissingData
from trajlab.statistics.logits import ENDS_IN, are_probabilities, logits_of
from trajlab.statistics.next_tokens import with_next_tokens
from trajlab.statistics.tasks import (
    BINARY,
    CROSS_ENTROPY,
    MSE,
    MULTILABEL,
    SOFT,
    VALUES,
    Coding,
    Task,
    coding_of,
    settled,
    task_for,
)

SCORES = ("nonfinite", "scored", "left_out", "loss", "right")
"""Columns of the scores of a step: outputs that are NaN or Inf; targets that are scored, and those left out because a
label is no class or an output is not finite; the summed loss and the number of correct predictions over scored ones,
which values have not."""

PER_CLASS = ("support", "said", "hits")
"""Columns for each class: scored targets (support), predictions of it, and correct predictions."""

CONFUSED = "confused_"
"""What the columns for each two classes begin with; the class and the predicted class follow."""

BY_POSITION = ("loss_at", "scored_at")
"""Columns for each position of a sequence: the summed loss and the number of scored targets."""

BY_FREQUENCY = ("loss_seen", "scored_seen")
"""The same columns for each octave of token frequency: labels that occur 2^k to 2^(k+1) − 1 times among the targets."""

AT_ONCE = 1 << 22
"""Logits that are scored at once, so that a large vocabulary takes no more memory."""


class Extra(NamedTuple):
    """What is scored of classes beside loss and accuracy.

    Parameters
    ----------
    top_k
        Largest numbers of predictions among which a label may be.
    positions
        Length of a sequence, 0 for none.
    shift
        Whether labels that equal the inputs are shifted, see `with_next_tokens`.
    octaves
        Number of octaves of the frequency of labels, 0 for none.
    """

    top_k: tuple[int, ...] = ()
    positions: int = 0
    shift: bool = True
    octaves: int = 0

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        by_position = [f"{name}_{position}" for name in BY_POSITION for position in range(self.positions)]
        by_frequency = [f"{name}_{octave}" for name in BY_FREQUENCY for octave in range(self.octaves)]
        return [*(f"top_{k}" for k in self.top_k), *by_position, *by_frequency]


PLAIN = Extra()


def task_of(output: xr.DataArray, probe: xr.Dataset, objective: str = "") -> Task:
    """Infer the task from the outputs and the targets.

    Floats that are not in memory stay undecided: values, or labels of 0 and 1.

    Parameters
    ----------
    output
        Outputs of the network, dims (step, sample, …, unit, …).
    probe
        Holds the `targets`.
    objective
        One of `trajlab.statistics.tasks.TASKS` to take instead.

    Raises
    ------
    MissingData
        The probe has no targets.
    BadSetting
        The targets fit the outputs in no way, or not as asked.
    """
    if "targets" not in probe:
        raise MissingData(
            "cannot score the outputs: the probe has no targets; record with Recorder(probe=(inputs, targets))."
        )
    targets = probe["targets"]
    dims = [dim for dim in output.dims if dim != "step"]
    shape = tuple(output.sizes[dim] for dim in dims)
    task = task_for(shape, dims.index("unit"), targets, objective)
    if task.kind in (VALUES, SOFT) and not isinstance(targets.data, da.Array):
        axis = dims.index("unit")
        return task._replace(kind=settled(task, coding_of(targets.values), targets.shape, shape, axis))
    return task


def extra_of(probe: xr.Dataset, task: Task, top_k: Sequence[int], *, shift: bool) -> Extra:
    """Return what else is scored of classes: top k, and of sequences, (sample, position), positions and tokens."""
    if task.kind != CROSS_ENTROPY:
        return Extra(shift=shift)
    targets = probe["targets"]
    some = tuple(k for k in top_k if k < task.outputs)
    if targets.ndim != 2:
        return Extra(some, shift=shift)
    return Extra(some, targets.shape[1], shift, int(targets.size).bit_length())


def score_table(
    output: xr.DataArray, probe: xr.Dataset, objective: str = "", scale: str = "", *, confusion: bool = False,
    extra: Extra = PLAIN,
) -> xr.DataArray:  # fmt: skip
    """Score the outputs of each step, (step, column), a task for each chunk of steps; lazily.

    Parameters
    ----------
    output
        Outputs of the network, dims (step, sample, …, unit, …).
    probe
        Holds the `targets`.
    objective
        What they are scored by; by default what the targets tell.
    scale
        Whether they are "logits" or "probabilities"; by default what the last module of the network tells.
    confusion
        Whether to count also which class is predicted for each class, if each target is the label of one.
    extra
        What else is scored of classes.
    """
    task = task_of(output, probe, objective)
    ends_in = str(output.attrs.get(ENDS_IN, ""))
    are_probabilities(ends_in, task.kind, scale)  # raises before anything is computed
    confusion = confusion and task.has_labels
    targets = (with_next_tokens(probe) if extra.shift else probe)["targets"].data
    targets = (targets if isinstance(targets, da.Array) else da.from_array(targets, chunks=-1)).rechunk(-1)
    values = output.transpose("step", ..., "unit") if task.classes else output.transpose("step", ...)
    if task.kind == MULTILABEL:
        targets = da.moveaxis(targets, output.transpose("step", ...).dims.index("unit") - 1, -1)
    columns = list(SCORES[:-1] if task.kind == MSE else SCORES)
    columns += [f"{name}_{label}" for name in PER_CLASS for label in range(task.classes)]
    columns += [f"{CONFUSED}{a}_{b}" for a in range(task.classes) for b in range(task.classes)] if confusion else []
    columns += extra.columns
    data = values.data if values.chunks else da.from_array(values.values, chunks=(1, *values.shape[1:]))
    data = data.rechunk({axis: -1 for axis in range(1, data.ndim)})
    table = da.blockwise(
        _scored, (0, -1), data, tuple(range(data.ndim)), targets, tuple(range(-1 - targets.ndim, -1)), task=task,
        ends_in=ends_in, scale=scale, confusion=confusion, unit_axis=values.dims.index("unit") - 1, extra=extra,
        columns=len(columns), new_axes={-1: len(columns)}, concatenate=True, dtype=np.float64, meta=np.empty((0, 0)),
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


def _scored(
    values: np.ndarray, targets: np.ndarray, task: Task, columns: int, ends_in: str, scale: str, confusion: bool,
    unit_axis: int, extra: Extra,
) -> np.ndarray:  # fmt: skip
    """Score some steps, (step, column)."""
    coding = coding_of(targets)
    task = task._replace(kind=settled(task, coding, targets.shape, values.shape[1:], unit_axis))
    least = float(np.finfo(values.dtype).tiny) if are_probabilities(ends_in, task.kind, scale) else 0.0

    def logits(part: np.ndarray) -> np.ndarray:
        part = part.astype(np.float64)
        return logits_of(part, task.kind, least) if least else part

    if task.kind == SOFT:
        values, targets = np.moveaxis(values, unit_axis + 1, -1), np.moveaxis(targets, unit_axis, -1)
    return np.stack([_score(row, targets, task, coding, confusion, extra, logits)[:columns] for row in values])


def _score(
    values: np.ndarray, targets: np.ndarray, task: Task, coding: Coding, confusion: bool, extra: Extra,
    logits: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:  # fmt: skip
    if task.kind == CROSS_ENTROPY:
        outputs, labels = values.reshape(-1, task.outputs), targets.reshape(-1)
        rows = max(1, AT_ONCE // task.outputs)
        if extra.positions:
            rows = max(rows // extra.positions, 1) * extra.positions
        starts = range(0, max(len(labels), 1), rows)
        octaves = octaves_of(labels, task.outputs) if extra.octaves else None
        parts = [
            _of_classes(logits(outputs[i : i + rows]), labels[i : i + rows], confusion, extra, octaves) for i in starts
        ]
        return np.sum(parts, axis=0)
    values = logits(values)
    if task.kind in (BINARY, MULTILABEL):
        return _of_logits(values, targets.reshape(values.shape), task, coding, confusion)
    if task.kind == SOFT:
        return _of_shares(values.reshape(-1, task.outputs), targets.reshape(-1, task.outputs).astype(np.float64))
    wanted = targets.reshape(-1).astype(np.float64)
    finite = np.isfinite(values).reshape(-1) & np.isfinite(wanted)
    squares = (values.reshape(-1)[finite] - wanted[finite]) ** 2
    nonfinite = values.size - np.isfinite(values).sum()
    return np.array([nonfinite, finite.sum(), (~finite).sum(), squares.sum(), np.nan])


def octaves_of(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the octave of the number of labels of each class, k for 2^k to 2^(k+1) − 1 labels; 0 for none.

    >>> octaves_of(np.array([0, 1, 1, 1, 2, 2, -100]), 4).tolist()
    [0, 1, 1, 0]
    """
    counts = np.bincount(labels[(labels >= 0) & (labels < classes)].astype(np.int64), minlength=classes)
    return np.frexp(np.maximum(counts, 1))[1] - 1


def _of_classes(
    logits: np.ndarray, labels: np.ndarray, confusion: bool, extra: Extra, octaves: np.ndarray | None = None
) -> np.ndarray:
    """Score logits, (target, class), by labels; the predicted class is that of the largest logit.

    Of equal logits the first counts as the largest, for the top k as well.
    """
    classes = logits.shape[1]
    finite = np.isfinite(logits)
    scored = finite.all(1) & (labels >= 0) & (labels < classes)
    logits, labels = logits[scored], labels[scored].astype(np.int64)
    top = logits.max(1, keepdims=True)
    spread = np.log(np.exp(logits - top).sum(1)) + top[:, 0]
    chosen = np.take_along_axis(logits, labels[:, None], 1)
    loss = spread - chosen[:, 0]
    predicted = logits.argmax(1)
    counts = [np.bincount(group, minlength=classes) for group in (labels, predicted, labels[predicted == labels])]
    whole = [(~finite).sum(), scored.sum(), (~scored).sum(), loss.sum(), (predicted == labels).sum()]
    if confusion:
        counts.append(np.bincount(labels * classes + predicted, minlength=classes**2))
    if extra.top_k:
        ties = (logits == chosen) & (np.arange(classes) < labels[:, None])
        rank = (logits > chosen).sum(1) + ties.sum(1)
        counts.append(np.array([(rank < k).sum() for k in extra.top_k]))
    if extra.positions:
        at = np.flatnonzero(scored) % extra.positions
        counts += [np.bincount(at, terms, extra.positions) for terms in (loss, None)]
    if octaves is not None:
        counts += [np.bincount(octaves[labels], terms, extra.octaves) for terms in (loss, None)]
    return np.concatenate([whole, *counts]).astype(np.float64)


def _of_shares(logits: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Score logits, (target, class), by probabilities of the classes; the true class is that of the largest one."""
    finite = np.isfinite(logits)
    scored = finite.all(1) & np.isfinite(shares).all(1)
    logits, shares = logits[scored], shares[scored]
    top = logits.max(1, keepdims=True)
    logp = logits - top - np.log(np.exp(logits - top).sum(1, keepdims=True))
    right = (logits.argmax(1) == shares.argmax(1)).sum()
    return np.array([(~finite).sum(), scored.sum(), (~scored).sum(), -(shares * logp).sum(), right], np.float64)


def _of_logits(logits: np.ndarray, labels: np.ndarray, task: Task, coding: Coding, confusion: bool) -> np.ndarray:
    """Score logits by a label for each; positive is predicted above 0.

    The classes of a single output are the negative and the positive one; those of several outputs are these, and
    their positive labels are counted.
    """
    finite = np.isfinite(logits)
    positive = labels == 1
    scored = finite & (positive | (labels == coding.negative))
    predicted = logits > 0
    with np.errstate(invalid="ignore"):
        losses = np.logaddexp(0.0, np.where(positive, -logits, logits))
    right = scored & (predicted == positive)
    whole = [(~finite).sum(), scored.sum(), (~scored).sum(), losses[scored].sum(), right.sum()]
    groups = (positive, predicted, predicted & positive)
    counts = [(group & scored).reshape(-1, task.outputs).sum(0) for group in groups]
    if task.kind == BINARY:
        negatives = (~positive, ~predicted, ~predicted & ~positive)
        counts = [np.append((group & scored).sum(), count) for group, count in zip(negatives, counts, strict=True)]
        if confusion:
            counts.append(np.bincount((2 * positive + predicted)[scored], minlength=4))
    return np.concatenate([whole, *counts]).astype(np.float64)
