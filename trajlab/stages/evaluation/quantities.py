"""Losses, accuracies and scores of classes: what they mean, and what they are computed from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from trajlab.statistics.result import Meaning, stride
from trajlab.statistics.scores import BY_FREQUENCY, BY_POSITION, CONFUSED, PER_CLASS, SCORES

AVERAGES = {
    "macro": "mean over the classes among targets or predictions",
    "micro": "of all classes together",
    "weighted": "mean over the classes, weighted by their targets",
}
"""How the scores of classes are averaged, as scikit-learn names it."""

OF_CLASS = {
    "precision": "hits / predictions, 0 without predictions",
    "recall": "hits / targets, 0 without targets",
    "f1": "2 hits / (targets + predictions)",
}

TOLERANCE = 0.01
"""Largest loss of accuracy at which weights count as prunable."""

MEANINGS = {
    "loss": Meaning("loss on the probe", "1", "mean of −log p(label), or of (output − target)²"),
    "accuracy": Meaning("accuracy", "1", "mean of predicted class = label", share=True),
    "perplexity": Meaning("perplexity", "1", "exp(loss)"),
    "top_k_accuracy": Meaning("top-k accuracy", "1", "mean of label among the k largest outputs", share=True),
    "position_loss": Meaning("loss by position", "1", "mean of −log p(label) over the samples, at each position"),
    "frequency_loss": Meaning(
        "loss by token frequency", "1", "mean of −log p(label) over labels that occur n to 2n − 1 times in the probe"
    ),
    "class_accuracy": Meaning("accuracy by class", "1", "hits / targets of the class, its recall", share=True),
    "class_precision": Meaning("precision by class", "1", "hits / predictions of the class", share=True),
    "class_f1": Meaning("F1 by class", "1", "2 hits / (targets + predictions) of the class"),
    "confusion": Meaning("confusion matrix", "targets", "count of targets of a class by predicted class"),
    "scored": Meaning("targets that are scored", "targets", "count"),
    "left_out": Meaning(
        "targets that are excluded", "targets", "count; no valid label, or an output or a target is NaN or Inf"
    ),
    "nonfinite": Meaning("outputs that are NaN or Inf", "outputs", "count"),
    "train_loss": Meaning("loss on training examples", "1", "as loss, on the examples recorded as train"),
    "train_accuracy": Meaning(
        "accuracy on training examples",
        "1",
        "as accuracy, on the examples recorded as train",
        share=True,
    ),
    "running_loss": Meaning(
        "mean loss while training", "1", "mean of the recorded training loss over all preceding steps"
    ),
    "loss_gap": Meaning("generalization gap of the loss", "1", "loss − train_loss"),
    "accuracy_gap": Meaning("generalization gap of the accuracy", "1", "train_accuracy − accuracy"),
    "pruned_loss": Meaning("loss after pruning", "1", "as loss, with w = 0 where |w| < threshold"),
    "pruned_accuracy": Meaning(
        "accuracy after pruning",
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
        f"largest pruned_share up to which all cost at most {TOLERANCE} of the accuracy; 0 if there is none",
        share=True,
    ),
}
for _average, _how in AVERAGES.items():
    for _score, _formula in OF_CLASS.items():
        MEANINGS[f"{_average}_{_score}"] = Meaning(
            f"{_average} {_score.replace('f1', 'F1')}", "1", f"{_formula}; {_how}", share=_score != "f1"
        )


def quantities(
    table: xr.DataArray, *others: xr.DataArray, train: bool, thresholds: tuple[tuple[str, float], ...]
) -> xr.Dataset:
    """Return the quantities that follow from scores.

    Parameters
    ----------
    table
        Scores on the probe.
    others
        Those on training examples, if `train`; then for each threshold the scores of the pruned network, its pruned
        weights, and all its weights.
    train
        Whether training examples are scored.
    thresholds
        Kind and value of each threshold.
    """
    result = _scores(table)
    if train:
        on_train = _scores(others[0])
        result["train_loss"], result["loss_gap"] = on_train["loss"], result["loss"] - on_train["loss"]
        if "accuracy" in on_train:
            result["train_accuracy"] = on_train["accuracy"]
            result["accuracy_gap"] = on_train["accuracy"] - result["accuracy"]
    if thresholds:
        kinds, values = zip(*thresholds, strict=True)
        threshold = xr.DataArray(list(values), dims="threshold", attrs={"long_name": "threshold", "units": "1"})
        parts = others[train:]
        scores = [_scores(part) for part in parts[::3]]
        for name in ("loss", "accuracy"):
            if name in scores[0]:
                result[f"pruned_{name}"] = _over(threshold, [part[name] for part in scores])
        shares = [zeros / entries for zeros, entries in zip(parts[1::3], parts[2::3], strict=True)]
        result["pruned_share"] = _over(threshold, shares)
        if "accuracy" in result:
            result["prunable_share"] = _prunable(result)
        result = result.assign_coords(threshold_kind=("threshold", np.array(kinds, dtype=object)))
    return stride(result)


def _over(thresholds: xr.DataArray, parts: Sequence[xr.DataArray]) -> xr.DataArray:
    return xr.concat(list(parts), dim=thresholds.rename("threshold")).transpose("step", "threshold")


def _prunable(result: xr.Dataset) -> xr.DataArray:
    """Return the largest share below the smallest one that costs too much accuracy."""
    share, cost = result["pruned_share"], result["accuracy"] - result["pruned_accuracy"]
    too_much = share.where(~(cost <= TOLERANCE + 1e-9), np.inf).min("threshold")
    return share.where(share < too_much, 0.0).max("threshold").where(result["accuracy"].notnull())


def _averages(support: xr.DataArray, predictions: xr.DataArray, hits: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return precision, recall and F1, averaged over the classes in each of three ways."""
    parts = {"precision": (hits, predictions), "recall": (hits, support), "f1": (2 * hits, support + predictions)}
    occurs = support + predictions > 0
    result = {}
    for name, (part, whole) in parts.items():
        score = (part / whole).fillna(0.0).where(occurs)
        result[f"macro_{name}"] = score.mean("class")
        result[f"micro_{name}"] = part.sum("class") / whole.sum("class")
        result[f"weighted_{name}"] = (score * support).sum("class") / support.sum("class")
    return result


def _scores(table: xr.DataArray) -> xr.Dataset:
    """Return losses and accuracies from sums."""
    names = [str(name) for name in table["column"].values]
    sums = table.isel(column=[i for i, name in enumerate(names) if name in SCORES]).to_dataset("column")
    result: dict[str, Any] = {"loss": sums["loss"] / sums["scored"]}
    if "right" in sums:
        result["accuracy"] = sums["right"] / sums["scored"]
    support, predictions, hits = (_counts(table, f"{name}_", "class", "class") for name in PER_CLASS)
    if classes := support.sizes["class"]:
        of_class = {
            "accuracy": hits / support, "precision": hits / predictions, "f1": 2 * hits / (support + predictions)
        }  # fmt: skip
        result |= {f"class_{name}": values for name, values in of_class.items()}
        result |= _averages(support, predictions, hits)
        pairs = table.isel(column=[i for i, name in enumerate(names) if name.startswith(CONFUSED)])
        if pairs.size:
            named = {"long_name": "predicted class", "units": "1"}
            predicted = xr.DataArray(support["class"].values, dims="predicted", attrs=named)
            coords = {"step": table["step"], "class": support["class"], "predicted": predicted}
            counts = pairs.values.reshape(-1, classes, classes)
            result["confusion"] = xr.DataArray(counts, coords, ("step", "class", "predicted"))
    top = _counts(table, "top_", "k", "k")
    if top.sizes["k"]:
        result["top_k_accuracy"] = top / sums["scored"]
    losses, scored = (_counts(table, f"{name}_", "position", "position") for name in BY_POSITION)
    if losses.sizes["position"]:
        result |= {"perplexity": np.exp(result["loss"]), "position_loss": losses / scored.where(scored > 0)}
    losses, scored = (_counts(table, f"{name}_", "occurrences", "occurrences of the label") for name in BY_FREQUENCY)
    if losses.sizes["occurrences"]:
        by_frequency = losses / scored.where(scored > 0)
        least = 2 ** by_frequency["occurrences"]
        result["frequency_loss"] = by_frequency.assign_coords(occurrences=least.assign_attrs(losses.occurrences.attrs))
    return xr.Dataset(result | {name: sums[name] for name in ("scored", "left_out", "nonfinite")})


def _counts(table: xr.DataArray, prefix: str, dim: str, words: str) -> xr.DataArray:
    """Return the columns whose names are a prefix and a number, (step, dim)."""
    names = [str(name) for name in table["column"].values]
    at = [i for i, name in enumerate(names) if name.startswith(prefix) and name.removeprefix(prefix).isdigit()]
    labels = [int(names[i].removeprefix(prefix)) for i in at]
    counts = table.isel(column=at).drop_vars("column").rename(column=dim)
    return counts.assign_coords({dim: (dim, labels, {"long_name": words, "units": "1"})})
