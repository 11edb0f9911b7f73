"""What a network is trained for, as its outputs and targets tell: classes, a single logit, labels, or values."""

from typing import Any, NamedTuple

import numpy as np

from trajlab.errors import BadSetting

CROSS_ENTROPY, BINARY, MULTILABEL, MSE, VALUES = "cross_entropy", "binary", "multilabel", "mse", ""
SOFT = "soft_cross_entropy"
"""Cross-entropy of classes with a probability for each, as after label smoothing, mixing of images or distillation."""

TASKS = (CROSS_ENTROPY, BINARY, MULTILABEL, MSE)
"""Losses to choose from: cross-entropy of classes, binary cross-entropy of a single logit, the same for each of several
labels, and mean squared error of values."""


class Task(NamedTuple):
    """What the outputs of a network are trained for.

    Parameters
    ----------
    kind
        One of `TASKS`, or `SOFT`; empty for floats, which are probabilities if they sum to one, labels if they are 0
        and 1, and values otherwise.
    outputs
        Number of outputs for each target of a class, or of labels for each sample.
    """

    kind: str
    outputs: int

    @property
    def classes(self) -> int:
        """Number of classes or labels whose predictions are counted; 0 where it is not known that there are any."""
        return {CROSS_ENTROPY: self.outputs, BINARY: 2, MULTILABEL: self.outputs}.get(self.kind, 0)

    @property
    def has_labels(self) -> bool:
        """Whether each target is the label of one class."""
        return self.kind in (CROSS_ENTROPY, BINARY)


class Coding(NamedTuple):
    """How targets are written, as all of them together tell: labels of two values, and probabilities of classes.

    Parameters
    ----------
    negative
        Value of the negative label, 0 or −1; the positive one is 1.
    is_binary
        Whether there are both, and no third value.
    largest
        Largest value; NaN if none is finite.
    simplex
        Axes behind the samples along which they sum to one, all from 0 to 1.
    """

    negative: float = 0.0
    is_binary: bool = False
    largest: float = np.nan
    simplex: tuple[int, ...] = ()


def coding_of(targets: np.ndarray) -> Coding:
    """Return how targets are written.

    Examples
    --------
    >>> coding_of(np.array([-1, 1, 1])), coding_of(np.array([0.0, 1.0, -1.0])).negative
    (Coding(negative=-1.0, is_binary=True, largest=1.0, simplex=()), 0.0)
    """
    simplex = _simplex(np.asarray(targets))
    values = np.asarray(targets).reshape(-1)
    values = values[np.isfinite(values)].astype(np.float64)
    if not values.size:
        return Coding()
    zero, plus, minus = (bool((values == value).any()) for value in (0, 1, -1))
    negative = -1.0 if minus and not zero else 0.0
    binary = plus and bool(((values == negative) | (values == 1)).all()) and bool((values == negative).any())
    return Coding(negative, binary, float(values.max()), simplex)


def _simplex(targets: np.ndarray) -> tuple[int, ...]:
    """Return the axes along which floats sum to one, to three digits; of integers and single ones there is none."""
    if targets.dtype.kind != "f" or not targets.size or not ((targets >= 0) & (targets <= 1)).all():
        return ()
    sums = ((axis, targets.sum(axis, dtype=np.float64)) for axis in range(1, targets.ndim) if targets.shape[axis] > 1)
    return tuple(axis for axis, total in sums if (abs(total - 1.0) <= 1e-3).all())


def task_for(output: tuple[int, ...], unit_axis: int, targets: Any, asked: str = "") -> Task:
    """Return what outputs are trained for, from shapes and the element type of the targets.

    Integers that name a class for each position are labels: of a single output 0 and 1, or −1 and 1. Integers and
    booleans of the shape of several outputs are a label for each. Floats of the shape of the outputs are values,
    unless they sum to one over the classes, or all are 0 and 1 (of a single output also −1 and 1), which only their
    values tell.

    Parameters
    ----------
    output
        Shape of the outputs, samples first.
    unit_axis
        Their axis over the units.
    targets
        The targets, or what has their `shape` and `dtype`.
    asked
        One of `TASKS`, or `SOFT`, to take instead.

    Raises
    ------
    BadSetting
        The targets fit the outputs in no way, or not as asked.
    """
    if asked and asked not in (*TASKS, SOFT):
        raise BadSetting(f"cannot use objective={asked!r}: choose one of {', '.join(TASKS)}")
    shape, dtype = tuple(targets.shape), np.dtype(str(targets.dtype).removeprefix("torch."))
    units = output[unit_axis]
    positions = output[:unit_axis] + output[unit_axis + 1 :]
    whole = shape == output or (units == 1 and shape == positions)
    as_values = bool(shape) and shape[0] == output[0] and np.prod(shape) == np.prod(output)
    fits = {
        CROSS_ENTROPY: dtype.kind in "iub" and shape == positions and units > 1,
        BINARY: units == 1 and whole,
        MULTILABEL: units > 1 and shape == output,
        MSE: as_values,
        SOFT: dtype.kind == "f" and shape == output and units > 1,
    }
    if asked == CROSS_ENTROPY and fits[SOFT]:
        return Task(SOFT, units)
    if asked:
        if not fits[asked]:
            raise BadSetting(_misfit(f" by {asked}", dtype, shape, output, positions))
        return Task(asked, units)
    if dtype.kind in "iub":
        for kind in (CROSS_ENTROPY, BINARY, MULTILABEL):
            if fits[kind]:
                return Task(kind, units)
    elif dtype.kind == "f" and as_values:
        return Task(VALUES, units)
    raise BadSetting(_misfit("", dtype, shape, output, positions))


def settled(task: Task, coding: Coding, shape: tuple[int, ...], output: tuple[int, ...], unit_axis: int = -1) -> str:
    """Return the kind of a task whose floats are labels or values, and check the labels of a single output.

    Parameters
    ----------
    task
        The task.
    coding
        How its targets are written.
    shape, output
        Shapes of targets and outputs, samples first.
    unit_axis
        Axis of the outputs over the units.

    Raises
    ------
    BadSetting
        A single output has labels of more than two classes, or targets that the caller scores by cross-entropy are
        floats that do not sum to one over the classes.
    """
    if task.kind == BINARY and coding.largest > 1:
        raise BadSetting(
            f"cannot score a single output by labels up to {coding.largest:g}: it tells two classes apart; choose "
            "--objective mse (objective=) for values, or a network with an output for each class"
        )
    sum_to_one = unit_axis % len(output) in coding.simplex
    if task.kind == SOFT and not sum_to_one:
        raise BadSetting(
            f"cannot score the outputs by {CROSS_ENTROPY}: the targets, floats of shape {shape}, are no probabilities "
            "that sum to one over the classes; give those or labels, or choose another --objective (objective=)"
        )
    if task.kind != VALUES:
        return task.kind
    if task.outputs > 1 and shape == output and sum_to_one:
        return SOFT
    if not coding.is_binary:
        return MSE
    if task.outputs == 1:
        return BINARY
    return MULTILABEL if coding.negative == 0 and shape == output else MSE


def _misfit(
    how: str, dtype: np.dtype, shape: tuple[int, ...], output: tuple[int, ...], positions: tuple[int, ...]
) -> str:
    return (
        f"cannot score the outputs{how}: the targets are {dtype} {shape}; give labels of shape {positions} or values "
        f"of shape {output}, or choose another --objective (objective=)"
    )
