"""Figures of loss, accuracy and pruning on the probe."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.figures.default import default
from trajlab.figures.marks import bands, multiples
from trajlab.figures.marks.canvas import canvas
from trajlab.figures.marks.colors import SEQUENTIAL
from trajlab.figures.marks.labels import height_of, title_of, value_axis, wrap
from trajlab.figures.marks.lines import beside, styles_of
from trajlab.figures.marks.matrix import from_zero, matrix
from trajlab.figures.marks.selection import choose
from trajlab.figures.panel import Panel
from trajlab.statistics.extremes import last, typical
from trajlab.statistics.shown_steps import evenly

CLASSES = 200
"""Classes up to which the recall of each is drawn; a vocabulary has more."""

STEPS = 5
"""Steps at which pruning is drawn at most."""

MARKERS = {"absolute": "o", "relative": "s"}
"""Markers of thresholds by their kind."""


def evaluation(result: xr.Dataset, *, ax: Axes | None = None, variable: str | None = None, **select: Any) -> Axes:
    """Draw the accuracy over the steps, or the loss where there are no classes; `confusion` is the matrix at a step.

    Parameters
    ----------
    result
        Result of the stage `evaluation`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable.
    select
        Which part of it, as in ``step=100``; the confusion matrix is that of the last step by default.
    """
    if variable == "confusion" and variable in result:
        labels = {"step": result["step"].values[-1]} | {
            dim: label for dim, label in select.items() if label is not None
        }
        array, title = choose(_shares(result), variable, keep=("class", "predicted"), **labels)
        ax = canvas(ax, height=5.0)
        matrix(array, ax, scale=from_zero())
        ax.set_title(title)
        return ax
    return default(result, ax=ax, variable=variable or ("accuracy" if "accuracy" in result else "loss"), **select)


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    figures = [_over_steps(result, "loss", "Loss on the probe")]
    if "accuracy" in result:
        figures.append(_over_steps(result, "accuracy", "Accuracy on the probe"))
    for name in ("accuracy", "loss"):
        if f"train_{name}" in result:
            title, caption = f"Generalization gap of the {name}", "Above 0 where training examples do better."
            figures.append(_over_steps(result, f"{name}_gap", title, caption, key="gap"))
            break
    if "position_loss" in result:
        caption, array = "Mean over the samples; the first positions have little context.", result["position_loss"]
        figures.append(_over_steps(result, "perplexity", "Perplexity"))
        figures.append(multiples.panel("position_loss", "Loss by position", caption, array, unknown="Gray: no label."))
    if "frequency_loss" in result:
        array = result["frequency_loss"].dropna("occurrences", how="all")
        times = ["once" if n == 1 else f"{n} to {2 * n - 1} times" for n in array["occurrences"].values]
        caption = "Rows: how many times the token occurs among the labels of the probe."
        title, array = "Loss of rare and frequent tokens", array.assign_coords(occurrences=times)
        figures += [multiples.panel("frequency_loss", title, caption, array)] if times else []
    if "class_accuracy" in result and result.sizes["class"] <= CLASSES:
        caption, array = "Recall of each class on the probe.", result["class_accuracy"]
        gray = "Gray: a class without targets."
        figures.append(multiples.panel("class_accuracy", "Accuracy by class", caption, array, unknown=gray))
    if "confusion" in result:
        caption = "Share of the targets of each class (rows) by predicted class (columns) at the end"
        caption += ", mean of the runs." if result.sizes.get("run", 1) > 1 else "."
        size = (9.2, min(1.6 + 0.3 * result.sizes["class"], 5.0))
        figures.append(Panel("confusion", "Confusion matrix", caption, size, partial(_confusion, result)))
    if "pruned_share" in result:
        caption = "Each point is a threshold, squares are relative to the RMS; the leftmost is the network as it is."
        figures.append(Panel("pruning", "Pruning by threshold", caption, (9.2, 3.4), partial(_pruning, result)))
    return figures


def _confusion(result: xr.Dataset, figure: Figure) -> None:
    evaluation(result, ax=figure.add_subplot(), variable="confusion")


def _shares(result: xr.Dataset) -> xr.Dataset:
    """Return the confusion matrix as shares of the targets of each class; NaN for a class without targets."""
    counts = result["confusion"]
    targets = counts.sum("predicted")
    shares = (counts / targets.where(targets > 0)).assign_attrs(long_name="share of the class", units="1", share=True)
    return shares.to_dataset(name="confusion")


def _over_steps(result: xr.Dataset, name: str, title: str, caption: str = "", *, key: str = "") -> Panel:
    caption = bands.caption(caption, result[name])
    return Panel(key or name, title, caption, (9.2, 3.0), partial(_lines, result, name))


def _lines(result: xr.Dataset, name: str, figure: Figure) -> None:
    bands.bands(result[name], figure.add_subplot())


def _pruning(result: xr.Dataset, figure: Figure) -> None:
    """Draw what is left after pruning: at a few steps, and with several runs at the last one for each of them."""
    several = result.sizes.get("run", 1) > 1
    axes = figure.subplots(1, 1 + several, sharey=True, squeeze=False)[0]
    chosen = result if several or "run" not in result.dims else result.isel(run=0)
    positions = evenly(chosen.sizes["step"], STEPS)
    colors = [SEQUENTIAL(level) for level in np.linspace(0.0, 0.85, len(positions))]
    for color, position in zip(colors, positions, strict=True):
        label = f"step {chosen['step'].values[position]:,}"
        _curve(chosen.isel(step=position).map(typical), axes[0], color=color, label=label)
    axes[0].set_title("median of the runs" if several else "")
    beside(axes[0])
    if several:
        styles, legend = styles_of(result["loss"], "run")
        end = result.map(last)
        for i, style in enumerate(styles):
            _curve(end.isel(run=i), axes[1], **style)
        axes[1].set_title("each run at the end")
        axes[1].set_ylabel("")
        beside(axes[1], legend)


def _curve(chosen: xr.Dataset, ax: Axes, **style: Any) -> None:
    """Draw accuracy, or loss, against the share of weights pruned, a line for each kind of threshold."""
    name = "accuracy" if "pruned_accuracy" in chosen else "loss"
    for kind, marker in MARKERS.items():
        thresholds = chosen.isel(threshold=np.flatnonzero(chosen["threshold_kind"].values == kind))
        share = np.concatenate([[0.0], thresholds["pruned_share"].values])
        values = np.concatenate([[thresholds[name].item()], thresholds[f"pruned_{name}"].values])
        if len(share) > 1:
            ax.plot(share, values, marker=marker, markersize=4.5, **style)
            style.pop("label", None)
    ax.set_xlabel(title_of(chosen["pruned_share"]))
    ax.set_ylabel(wrap(title_of(chosen[f"pruned_{name}"]), height_of(ax)))
    value_axis(ax.xaxis, chosen["pruned_share"])
    value_axis(ax.yaxis, chosen[f"pruned_{name}"])
    ax.set_xlim(-0.02, 1.02)
    if name == "accuracy":
        ax.set_ylim(0.0, 1.02)
