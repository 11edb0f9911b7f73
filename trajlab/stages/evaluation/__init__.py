"""Loss and accuracy on the probe, on training examples, and after pruning."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.replays.observe import observe
from trajlab.replays.observers.pruned import COUNTS, Pruned
from trajlab.replays.probe_kinds import probe_of
from trajlab.scan.as_one_task import as_one_task
from trajlab.stages.evaluation.quantities import MEANINGS, quantities
from trajlab.statistics.logits import ENDS_IN, are_probabilities
from trajlab.statistics.metrics import LOSSES, metric_name
from trajlab.statistics.result import annotate
from trajlab.statistics.scores import Extra, extra_of, score_table, task_of
from trajlab.statistics.tasks import MSE

MOST_CLASSES = 100
"""Classes up to which the confusion matrix is counted."""


def evaluation(
    replay: Callable[..., Mapping[str, xr.DataArray]],
    probe: xr.Dataset,
    metrics: xr.Dataset | None = None,
    *,
    prune: Sequence[float] = (),
    prune_relative: Sequence[float] = (),
    prune_layers: Sequence[str] = (),
    objective: str = "",
    outputs: str = "",
    top_k: Sequence[int] = (5,),
    shift_labels: bool = True,
) -> xr.Dataset:
    """Loss, accuracy and F1 on the probe at each snapshot, on training examples, and after pruning.

    Answers: when did the network learn, which classes did it learn last, does it overfit, and how much of it can be
    pruned?

    Parameters
    ----------
    replay
        Runs the snapshots on inputs, as `trajlab.replay` does.
    probe
        The batch with its `targets`: class labels, or labels or values with the shape of the outputs. Examples of the
        kind "train", if recorded, are evaluated in a pass of their own.
    metrics
        Recorded metrics.
    prune
        Absolute thresholds: the network is also evaluated with weights below this size set to zero. Each costs as much
        time as the stage without. Weights are parameters of two dims or more.
    prune_relative
        Relative thresholds: weights smaller than that multiple of their tensor's RMS are set to zero.
    prune_layers
        Names of parameters, of their modules, or patterns of either, such as "conv*": only these are pruned. By default
        all. `trajlab prune` writes a pruned snapshot and its mask.
    objective
        What the outputs are scored by: cross_entropy of classes, binary for a single output, multilabel, or mse. By
        default the type and shape of the targets tell: labels of a class each; floats that sum to one over the classes,
        which are their probabilities (soft labels: the true class is the most probable one); 0 and 1, or −1 and 1, for
        a single output; a 0 or 1 for each of several outputs; or other floats of the shape of the outputs, which are
        values.
    outputs
        What the outputs are: logits, or probabilities. By default they are probabilities if the network returns the
        output of a softmax over its classes, or of labels that of a sigmoid; the attr `outputs` says which was taken.
    top_k
        For which k the top-k accuracy is computed, where there are more classes.
    shift_labels
        Whether labels that equal the inputs, as models of transformers take them, are shifted: position t is scored by
        token t + 1. Otherwise the loss would be that of copying the input.

    Returns
    -------
    loss : (step)
        Cross-entropy in nats for labels, of a single output and of several labels the binary one; mean squared error
        for values. Of probabilities p the logits are log p, of labels log p − log(1 − p); a p of 0 counts as the
        smallest that its element type holds.
    accuracy : (step)
        Only for labels. The predicted class is that of the largest output, the first of equal ones; of a single output
        and of several labels, logits above 0 are positive. Accuracy is the share of right labels.
    top_k_accuracy : (step, k)
        Share of labels among the k largest outputs, only for labels of more than k classes.
    perplexity : (step)
        Of sequences of labels, (sample, position), such as tokens: exp of the loss.
    position_loss : (step, position)
        The loss at each position of the sequences; NaN where no label counts, such as after the last token.
    frequency_loss : (step, occurrences)
        The loss of tokens that occur n to 2n − 1 times among the labels of the probe, n = `occurrences` = 1, 2, 4, …;
        NaN where there are none.
    class_accuracy, class_precision, class_f1 : (step, class)
        Recall, precision and F1 of each class, only for labels; NaN for a class without targets, without predictions,
        or without both. The classes of a single output are the negative and the positive one; of several labels each is
        a class.
    macro_precision, macro_recall, macro_f1, micro_…, weighted_… : (step)
        Their averages as in scikit-learn's precision_recall_fscore_support; an unknown precision or recall counts 0.
    confusion : (step, class, predicted)
        Targets of a class by predicted class, for one label a target and at most 100 classes.
    scored, left_out, nonfinite : (step)
        Number of targets that enter the means; of targets excluded because the label is no class, or an output is NaN
        or Inf; and of outputs that are NaN or Inf.
    train_loss, train_accuracy, loss_gap, accuracy_gap : (step)
        The same on training examples, and the generalization gap.
    running_loss : (step)
        Mean of the training loss recorded at all steps before this one, without NaN and Inf; NaN at the first step.
    pruned_loss, pruned_accuracy, pruned_share : (step, threshold)
        The same after pruning, and the share of all weights that are zero then. The coord `threshold_kind`
        distinguishes absolute from relative thresholds.
    prunable_share : (step)
        Largest share tried at which neither it nor a smaller one costs more than one percentage point of accuracy.

    Raises
    ------
    MissingData
        The run has no probe with targets, or names no model.
    BadSetting
        The targets fit the outputs in no way or not the objective, labels of a single output exceed 1, or a threshold
        is not positive or is given as both kinds.

    References
    ----------
    Averages of scores: scikit-learn, precision_recall_fscore_support with zero_division=0. Magnitude pruning: Han et
    al. 2015, arXiv:1506.02626, without retraining.
    """
    thresholds = _thresholds(prune, prune_relative)
    output = replay(layers=[""])[""]
    task = task_of(output, probe, objective)
    attrs = {"probe_sha256": output.attrs.get("probe_sha256", "")}
    if task.kind:
        is_probability = are_probabilities(str(output.attrs.get(ENDS_IN, "")), task.kind, outputs)
        attrs["outputs"] = "" if task.kind == MSE else "probabilities" if is_probability else "logits"
    if top_k and min(top_k) < 1:
        raise BadSetting(f"cannot compute the top-k accuracy of k={min(top_k)}: choose 1 or more")
    confusion = 0 < task.classes <= MOST_CLASSES
    extra = extra_of(probe, task, sorted(set(top_k)), shift=shift_labels)
    plain = Extra(shift=shift_labels)
    tables = [score_table(output, probe, objective, outputs, confusion=confusion, extra=extra)]
    train = "train_inputs" in probe and "train_targets" in probe
    if train:
        examples = probe_of(probe, "train")
        attrs["train_sha256"] = examples.attrs["sha256"]
        of_examples = replay(layers=[""], probe=examples)[""]
        tables.append(score_table(of_examples, examples, objective, outputs, extra=plain))
    only = {"prune_only": list(prune_layers)} if prune_layers else {}
    for kind, value in thresholds:
        pruned = observe(replay(layers=[""], **{_SETTING[kind]: value}, **only), Pruned())
        scores = score_table(pruned[""], probe, objective, outputs, extra=plain)
        tables += [scores, *(pruned[name] for name in COUNTS)]
    result = as_one_task(partial(quantities, train=train, thresholds=tuple(thresholds)), *tables)
    recorded = "" if metrics is None else metric_name("", [str(name) for name in metrics], LOSSES)
    if metrics is not None and recorded:
        result = result.assign(as_one_task(_running, metrics[recorded], tables[0]))
    return annotate(result, MEANINGS, **attrs)


def _thresholds(prune: Sequence[float], relative: Sequence[float]) -> list[tuple[str, float]]:
    """Return kind and value of each threshold, once."""
    kinds = {"absolute": prune, "relative": relative}
    thresholds = [(kind, value) for kind, values in kinds.items() for value in sorted(set(values))]
    invalid = [value for _, value in thresholds if not 0 < value < np.inf]
    if invalid:
        raise BadSetting(f"cannot prune at threshold {invalid[0]}: choose finite thresholds above 0")
    both = sorted(set(prune) & set(relative))
    if both:
        raise BadSetting(
            f"cannot prune at {both[0]}, both absolute and relative: results are labeled by value; change one of "
            "the two, or run the stage twice"
        )
    return thresholds


_SETTING = {"absolute": "prune", "relative": "prune_relative"}


def _running(loss: xr.DataArray, table: xr.DataArray) -> xr.Dataset:
    """Average the loss over all steps before each step of a table."""
    is_finite = np.isfinite(loss.values)
    terms = (np.where(is_finite, loss.values, 0.0), is_finite)
    sums, counts = (np.concatenate([[0.0], np.cumsum(values)]) for values in terms)
    before = np.searchsorted(loss["step"].values, table["step"].values)
    return xr.Dataset({"running_loss": ("step", sums[before] / counts[before])}, {"step": table["step"]})
