"""How well the network does on the probe."""

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from trajlab.lazily import lazily
from trajlab.result import Meaning, annotate, stride
from trajlab.scoring import PER_CLASS, score_table

MEANINGS = {
    "loss": Meaning("loss on the probe", "1", "mean of −log softmax(outputs)[label], or of (output − target)²"),
    "accuracy": Meaning("share of answers that are right", "1", "mean of argmax(outputs) = label"),
    "class_accuracy": Meaning("share of answers that are right, by class", "1", "hits / targets of the class: recall"),
    "macro_f1": Meaning(
        "macro F1", "1", "mean of 2 hits / (targets + answers) over the classes that are a target or an answer"
    ),
    "scored": Meaning("targets that are scored", "targets", "count"),
    "left_out": Meaning(
        "targets that are left out", "targets", "count; label of no class, or an output or a target is NaN or Inf"
    ),
    "nonfinite": Meaning("outputs that are NaN or Inf", "outputs", "count"),
}


def evaluation(replay: Callable[..., Mapping[str, xr.DataArray]], probe: xr.Dataset) -> xr.Dataset:
    """How well the network does on the probe: loss, accuracy and F1 at each snapshot.

    Answers: when did the network learn, which classes did it learn last, and did it get worse again?

    Parameters
    ----------
    replay
        Puts the snapshots through the network, as `trajlab.replay` does.
    probe
        The batch, with its `targets`: labels of classes, or values of the shape of the outputs.

    Returns
    -------
    loss : (step)
        Cross-entropy in nats where the targets are labels, which takes the outputs for logits; mean squared error
        where they are values.
    accuracy, macro_f1 : (step)
        Of labels only, as is the next. The answer is the class of the largest output, the first of equal ones.
    class_accuracy : (step, class)
        NaN for a class that is no target.
    scored, left_out, nonfinite : (step)
        Targets that all of these are the mean of; targets that are left out, as the label is negative or of no class,
        or an output is NaN or Inf; and how many outputs are.

    Raises
    ------
    MissingData
        The run has no probe with targets, or names no model.
    BadSetting
        The targets fit the outputs neither as labels nor as values.

    References
    ----------
    Macro F1 as in scikit-learn's f1_score(average="macro").
    """
    output = replay(layers=[""])[""]
    result = lazily(_result, score_table(output, probe))
    return annotate(result, MEANINGS, probe_sha256=output.attrs.get("probe_sha256", ""))


def _result(table: xr.DataArray) -> xr.Dataset:
    sums = table.to_dataset("column")
    result = {"loss": sums["loss"] / sums["scored"]}
    classes = sum(str(name).startswith("hits_") for name in sums)
    if classes:
        labels = xr.DataArray(np.arange(classes), dims="class", attrs={"long_name": "class", "units": "1"})
        support, said, hits = (
            xr.concat([sums[f"{name}_{label}"] for label in range(classes)], dim=labels.rename("class"))
            for name in PER_CLASS
        )
        f1 = 2 * hits / (support + said)
        result |= {
            "accuracy": sums["right"] / sums["scored"],
            "macro_f1": f1.mean("class"),
            "class_accuracy": (hits / support).transpose("step", "class"),
        }
    result |= {name: sums[name] for name in ("scored", "left_out", "nonfinite")}
    return stride(xr.Dataset(result))
