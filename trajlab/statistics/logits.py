"""Logits of networks that end in a softmax or a sigmoid, and so return probabilities."""

import numpy as np

from trajlab.errors import BadSetting
from trajlab.statistics.tasks import BINARY, CROSS_ENTROPY, MULTILABEL, SOFT

ENDS_IN = "ends_in"
"""Attr of a network's output: the softmax or sigmoid that it is the output of, empty for another."""

_SOFTMAXES = ("Softmax", "Softmax2d", "Softmin")
PROBABILITIES = {
    CROSS_ENTROPY: _SOFTMAXES, SOFT: _SOFTMAXES, BINARY: ("Sigmoid",), MULTILABEL: ("Sigmoid",),
}  # fmt: skip
"""Activations whose outputs are probabilities, by the task. The outputs of a log-softmax are logits already."""

SCALES = ("logits", "probabilities")
"""What outputs may be."""


def are_probabilities(ends_in: str, task: str, asked: str = "") -> bool:
    """Return whether the outputs of a network are probabilities of a task's classes or labels.

    Parameters
    ----------
    ends_in
        The activation that the network ends in.
    task
        One of `trajlab.statistics.tasks.TASKS`.
    asked
        One of `SCALES` to take instead.

    Raises
    ------
    BadSetting
        `asked` is no scale.

    Examples
    --------
    >>> are_probabilities("Softmax", "cross_entropy"), are_probabilities("Softmax", "mse")
    (True, False)
    """
    if asked and asked not in SCALES:
        raise BadSetting(f"cannot take the outputs as {asked!r}: choose one of {', '.join(SCALES)}")
    if asked:
        return asked == "probabilities" and task in PROBABILITIES
    return ends_in in PROBABILITIES.get(task, ())


def logits_of(probabilities: np.ndarray, task: str, tiny: float) -> np.ndarray:
    """Return logits of probabilities: log p of classes, log p − log(1 − p) of labels.

    Parameters
    ----------
    probabilities
        The probabilities.
    task
        One of `trajlab.statistics.tasks.TASKS`.
    tiny
        What a probability of 0 counts as: the smallest that its element type holds.
    """
    with np.errstate(all="ignore"):
        log = np.log(np.where(probabilities == 0, tiny, probabilities))
        if task in (CROSS_ENTROPY, SOFT):
            return log
        rest = 1.0 - probabilities
        return log - np.log(np.where(rest == 0, tiny, rest))


def predicted_classes(outputs: np.ndarray, ends_in: str) -> np.ndarray:
    """Return the predicted class, (…, unit) to (…); NaN where an output is NaN or Inf.

    Parameters
    ----------
    outputs
        Outputs of the network. The class of a single one is whether its probability is above 0.5.
    ends_in
        The activation that the network ends in.
    """
    threshold = 0.5 if are_probabilities(ends_in, BINARY) else 0.0
    classes = outputs.argmax(-1) if outputs.shape[-1] > 1 else outputs[..., 0] > threshold
    return np.where(np.isfinite(outputs).all(-1), classes, np.nan)
