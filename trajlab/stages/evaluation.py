"""How well the network does on the probe, on training examples, and after pruning."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.replays.observe import observe
from trajlab.replays.observers.pruned import COUNTS, Pruned
from trajlab.replays.probe_kinds import probe_of
from trajlab.scan.as_one_task import as_one_task
from trajlab.statistics.metrics import LOSSES, metric_name
from trajlab.statistics.result import Meaning, annotate, stride
from trajlab.statistics.scores import PER_CLASS, score_table

TOLERANCE = 0.01
"""Pruning is tolerated that costs at most this much of the accuracy."""

MEANINGS = {
    "loss": Meaning("loss on the probe", "1", "mean of −log softmax(outputs)[label], or of (output − target)²"),
    "accuracy": Meaning("share of answers that are right", "1", "mean of argmax(outputs) = label", share=True),
    "class_accuracy": Meaning(
        "share of answers that are right, by class", "1", "hits / targets of the class: recall", share=True
    ),
    "macro_f1": Meaning(
        "macro F1", "1", "mean of 2 hits / (targets + answers) over the classes that are a target or an answer"
    ),
    "scored": Meaning("targets that are scored", "targets", "count"),
    "left_out": Meaning(
        "targets that are left out", "targets", "count; label of no class, or an output or a target is NaN or Inf"
    ),
    "nonfinite": Meaning("outputs that are NaN or Inf", "outputs", "count"),
    "train_loss": Meaning("loss on training examples", "1", "as loss, on the examples recorded as train"),
    "train_accuracy": Meaning(
        "share of answers that are right on training examples",
        "1",
        "as accuracy, on the examples recorded as train",
        share=True,
    ),
    "running_loss": Meaning("mean loss while training", "1", "mean of the recorded training loss of all steps before"),
    "loss_gap": Meaning("generalization gap of the loss", "1", "loss − train_loss"),
    "accuracy_gap": Meaning("generalization gap of the accuracy", "1", "train_accuracy − accuracy"),
    "pruned_loss": Meaning("loss after pruning", "1", "as loss, with w = 0 where |w| < threshold"),
    "pruned_accuracy": Meaning(
        "share of answers that are right after pruning",
        "1",
        "as accuracy, with w = 0 where |w| < threshold",
        share=True,
    ),
    "pruned_share": Meaning(
        "share of weights that are pruned", "1", "entries with |w| < threshold / entries", share=True
    ),
    "prunable_share": Meaning(
        "share of weights that can be pruned",
        "1",
        f"largest pruned_share that, as all smaller ones, costs at most {TOLERANCE} of the accuracy; 0 if none does",
        share=True,
    ),
}


def evaluation(
    replay: Callable[..., Mapping[str, xr.DataArray]],
    probe: xr.Dataset,
    metrics: xr.Dataset | None = None,
    *,
    prune: Sequence[float] = (),
    prune_relative: Sequence[float] = (),
) -> xr.Dataset:
    """How well the network does on the probe: loss, accuracy and F1 at each snapshot.

    Answers: when did the network learn, which classes did it learn last, did it get worse again, and how much of it can
    be pruned?

    Parameters
    ----------
    replay
        Puts the snapshots through the network, as `trajlab.replay` does.
    probe
        The batch, with its `targets`: labels of classes, or values of the shape of the outputs. The examples of the
        kind "train", if they were recorded too, are put through the network in a pass of their own.
    metrics
        What was measured while training.
    prune
        Thresholds: the network is also evaluated with all entries of its weights put to 0 whose size is below. Each
        costs as much time as the stage without it. Weights are parameters of two dims or more, over all tensors.
    prune_relative
        Thresholds in units of the RMS of each tensor; likewise.

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
    train_loss, train_accuracy, loss_gap, accuracy_gap : (step)
        The same on the training examples, and by how much the network does better on them: the generalization gap.
    running_loss : (step)
        How fast the network learned what it was trained on: mean of the loss that was recorded while training, over all
        steps before this one; those of NaN or Inf are left out. NaN at the start.
    pruned_loss, pruned_accuracy, pruned_share : (step, threshold)
        The same after pruning, and the share of the entries of all weights that this puts to 0, or that were 0. The
        coord `threshold_kind` tells absolute thresholds from relative ones.
    prunable_share : (step)
        The largest share that was tried such that neither it nor a smaller one costs more than a point of accuracy.

    Raises
    ------
    MissingData
        The run has no probe with targets, or names no model.
    BadSetting
        The targets fit the outputs neither as labels nor as values, or a threshold is not above 0 or is
        given as both kinds.

    References
    ----------
    Macro F1 as in scikit-learn's f1_score(average="macro"). Pruning by size: Han et al. 2015, arXiv:1506.02626, without
    training again.
    """
    thresholds = _thresholds(prune, prune_relative)
    output = replay(layers=[""])[""]
    attrs = {"probe_sha256": output.attrs.get("probe_sha256", "")}
    tables = [score_table(output, probe)]
    train = "train_inputs" in probe and "train_targets" in probe
    if train:
        examples = probe_of(probe, "train")
        attrs["train_sha256"] = examples.attrs["sha256"]
        tables.append(score_table(replay(layers=[""], probe=examples)[""], examples))
    for kind, value in thresholds:
        pruned = observe(replay(layers=[""], **{_SETTING[kind]: value}), Pruned())
        tables += [score_table(pruned[""], probe), *(pruned[name] for name in COUNTS)]
    result = as_one_task(partial(_result, train=train, thresholds=tuple(thresholds)), *tables)
    recorded = "" if metrics is None else metric_name("", [str(name) for name in metrics], LOSSES)
    if metrics is not None and recorded:
        result = result.assign(as_one_task(_running, metrics[recorded], tables[0]))
    return annotate(result, MEANINGS, **attrs)


def _thresholds(prune: Sequence[float], relative: Sequence[float]) -> list[tuple[str, float]]:
    """Give kind and value of each threshold, once."""
    found = [(kind, one) for kind, given in (("absolute", prune), ("relative", relative)) for one in sorted(set(given))]
    wrong = [value for _, value in found if not 0 < value < np.inf]
    if wrong:
        raise BadSetting(f"the network was to be pruned at {wrong[0]}; thresholds are above 0. Change the setting.")
    both = sorted(set(prune) & set(relative))
    if both:
        raise BadSetting(
            f"the network was to be pruned at {both[0]}, both absolute and relative; results tell thresholds apart by "
            "their value. Change one of the two, or run the stage twice."
        )
    return found


_SETTING = {"absolute": "prune", "relative": "prune_relative"}


def _result(
    table: xr.DataArray, *others: xr.DataArray, train: bool, thresholds: tuple[tuple[str, float], ...]
) -> xr.Dataset:
    result = _scores(table)
    if train:
        own = _scores(others[0])
        result["train_loss"], result["loss_gap"] = own["loss"], result["loss"] - own["loss"]
        if "accuracy" in own:
            result["train_accuracy"] = own["accuracy"]
            result["accuracy_gap"] = own["accuracy"] - result["accuracy"]
    if thresholds:
        kinds, values = zip(*thresholds, strict=True)
        place = xr.DataArray(list(values), dims="threshold", attrs={"long_name": "threshold", "units": "1"})
        parts = others[train:]
        scores = [_scores(part) for part in parts[::3]]
        for name in ("loss", "accuracy"):
            if name in scores[0]:
                result[f"pruned_{name}"] = _over(place, [one[name] for one in scores])
        shares = [zeros / entries for zeros, entries in zip(parts[1::3], parts[2::3], strict=True)]
        result["pruned_share"] = _over(place, shares)
        if "accuracy" in result:
            result["prunable_share"] = _prunable(result)
        result = result.assign_coords(threshold_kind=("threshold", np.array(kinds, dtype=object)))
    return stride(result)


def _running(loss: xr.DataArray, table: xr.DataArray) -> xr.Dataset:
    """Average what was recorded of all steps before each of those of a table."""
    known = np.isfinite(loss.values)
    sums, counts = (np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))]) for values in (loss.values, known))
    before = np.searchsorted(loss["step"].values, table["step"].values)
    return xr.Dataset({"running_loss": ("step", sums[before] / counts[before])}, {"step": table["step"]})


def _over(thresholds: xr.DataArray, parts: Sequence[xr.DataArray]) -> xr.DataArray:
    return xr.concat(list(parts), dim=thresholds.rename("threshold")).transpose("step", "threshold")


def _prunable(result: xr.Dataset) -> xr.DataArray:
    """Give the largest share below the least one that costs too much."""
    share, cost = result["pruned_share"], result["accuracy"] - result["pruned_accuracy"]
    too_much = share.where(~(cost <= TOLERANCE + 1e-9), np.inf).min("threshold")
    return share.where(share < too_much, 0.0).max("threshold").where(result["accuracy"].notnull())


def _scores(table: xr.DataArray) -> xr.Dataset:
    """Turn sums into losses and shares."""
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
    return xr.Dataset(result | {name: sums[name] for name in ("scored", "left_out", "nonfinite")})
