"""Figures of attributions: input gradients, Grad-CAM, adversarial inputs, and maximizing inputs of units."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.figures.attribution.sheets import (
    MOST,
    ROWS,
    is_image,
    kinds_of_runs,
    maps_sheet,
    rows_of,
    samples_sheet,
    sheet_size,
    steps_sheet,
    units_sheet,
)
from trajlab.figures.default import default
from trajlab.figures.marks import attribute_overlap, multiples
from trajlab.figures.marks.canvas import canvas
from trajlab.figures.marks.lines import lines
from trajlab.figures.marks.selection import position
from trajlab.figures.panel import Panel

OBJECTIVES = {
    "loss": "loss",
    "logit": "logit of the label",
    "p_logit": "logit of the label times its probability",
    "predicted_logit": "logit of the predicted class",
    "cross_entropy": "cross-entropy",
    "binary": "binary cross-entropy",
    "multilabel": "binary cross-entropy of the labels",
    "mse": "squared error",
}
"""Objectives that input gradients differentiate, by the setting of the stage."""

MAPS = {"grad_cam": "Grad-CAM", "input_gradient": "input gradient", "token_gradient": "token gradient"}
"""Names of maps."""

OF_UNITS = ("maximum_response", "activation_map")
"""Variables that are drawn as a sheet of units by steps."""

OF_SAMPLES = ("input_gradient", "grad_cam")
"""Variables that are drawn as a sheet of samples by runs, or by steps."""

OVERLAPS = {"attention_iou": "Overlap with the masks", "attention_iou_prev": "Stability of the maps"}
"""Variables that are drawn as their mean over the samples."""


def attribution(result: xr.Dataset, *, ax: Axes | None = None, variable: str | None = None, **select: Any) -> Axes:
    """Draw samples with their attributions at a step: input, input gradient, Grad-CAM and adversarial input.

    Parameters
    ----------
    result
        Result of the stage `attribution`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable; `maximum_response` and `activation_map` are drawn as sheets of units by steps, `grad_cam` and
        `input_gradient` as sheets of samples by runs, of a single run by steps.
    select
        Which part of it, as in ``step=100``; by default the last step of the first run, and where a sample is chosen,
        all steps of it.
    """
    if variable in OF_UNITS and variable in result and is_image(result[variable]):
        ax = canvas(ax, height=4.8)
        units_sheet(result, variable, ax, **select)
        return ax
    if variable in OF_SAMPLES and variable in rows_of(result) and is_image(result["image"]):
        return maps_sheet(result, variable, ax, **select)
    if variable in attribute_overlap.VARIABLES and variable in result:
        return attribute_overlap.draw(result, ax)
    if variable is not None and variable.removesuffix("_unscaled") in OVERLAPS and variable in result:
        ax = canvas(ax)
        run = select.get("run")
        chosen = result if run is None else result.isel(run=position(result, "run", run))
        shown = mean_overlap(chosen, variable)
        shown = shown.isel(map=-1) if "run" in shown.dims else shown
        lines(shown.squeeze("map") if shown.sizes.get("map") == 1 else shown, ax)
        return ax
    if variable is not None or not is_image(result["image"]):
        defaults = ("adversarial_accuracy", "token_gradient", "attention_iou_prev", "top_response")
        return default(result, ax=ax, variable=variable or next(name for name in defaults if name in result), **select)
    ax = canvas(ax, height=4.0)
    if select.get("sample") is not None:
        steps_sheet(result, ax, **select)
    else:
        samples_sheet(result, ax, **select)
    return ax


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    figures = []
    run = f" Run {result['run'].values[0]}." if "run" in result.dims else ""
    gray = "" if result["image"].sizes.get("channel", 1) in (1, 3) else " Inputs are the mean over their channels."
    ways = {
        "input_gradient": "Gradients are summed over channels, red where more of the input raises the "
        f"{OBJECTIVES.get(str(result.attrs.get('objective')), 'objective')} and blue where it lowers it.",
        "grad_cam": f"Grad-CAM of {result.attrs.get('layer', '')} is brighter where the evidence for the "
        f"{'predicted class' if result.attrs.get('objective') == 'predicted_logit' else 'label'} lies.",
        "adversarial": f"Adversarial inputs are moved by ε = {result.attrs.get('epsilon', 0):g} in each value.",
    }
    caption = " ".join(text for name, text in ways.items() if name in result) + " Each picture has its own scale."
    if is_image(result["image"]):
        shape, rows = result["image"].shape, sum(name in result for name in ROWS)
        size = sheet_size(shape, rows, min(result.sizes["sample"], MOST))
        title = f"Attributions at step {int(result['step'][-1]):,}"
        figures.append(Panel("samples", title, caption + gray + run, size, partial(_alone, result)))
        if len(kinds := kinds_of_runs(result)) > 1 and "grad_cam" in rows_of(result):
            size = sheet_size(shape, 1 + len(kinds), min(result.sizes["sample"], MOST))
            title = f"Grad-CAM of each kind of run at step {int(result['step'][-1]):,}"
            text = f"{ways['grad_cam']} Of runs that differ in their seed only, the first is shown."
            figures.append(Panel("runs", title, text, size, partial(_alone, result, variable="grad_cam")))
        if result.sizes["step"] > 1 and rows > 1:
            draw = partial(_alone, result, sample=0)
            size = sheet_size(shape, rows - 1, result.sizes["step"])
            figures.append(Panel("steps", "Attributions of one sample over the steps", caption + run, size, draw))
    captions = {
        "maximum_response": f"The input of {_norm(result)} that gradient ascent found for each unit; zero is middle "
        "gray, and each picture has its own scale. Noise is left where a unit has no gradient.",
        "activation_map": "Activation of each unit on one sample, dark to light; a unit has one scale at all steps.",
    }
    names = {"maximum_response": "Maximizing inputs of units of {}", "activation_map": "Activation maps of units of {}"}
    for name, text in captions.items():
        if name in result and is_image(result[name]):
            size = sheet_size(result[name].shape, result.sizes["step"], result.sizes["unit"])
            title = names[name].format(result.attrs.get("layer") or "the output")
            figures.append(Panel(name, title, text + run, size, partial(_alone, result, variable=name)))
    if "adversarial_accuracy" in result:
        caption = "Accuracy on the probe after an adversarial step of size ε."
        array = result["adversarial_accuracy"].transpose(..., "epsilon", "step")
        title = "Accuracy under attack"
        figures.append(
            multiples.panel("adversarial_accuracy", title, caption, array)
            if "run" in array.dims
            else Panel("adversarial_accuracy", title, caption, (9.2, 3.0), partial(_attacks, array.T))
        )
    for name, title in OVERLAPS.items():
        if name in result and bool(result[name].notnull().any()):
            array, called = mean_overlap(result, name), str(result[name].attrs["long_name"])
            caption = f"{called[:1].upper()}{called[1:]}, mean over the samples; 1 is the same map."
            figures.append(Panel(name, title, caption, (9.2, 2.8), partial(_overlaps, array)))
    if "attribute_iou" in result and bool(result["attribute_iou"].notnull().any()):
        figures.append(attribute_overlap.panel(result))
    return figures


def mean_overlap(result: xr.Dataset, name: str) -> xr.DataArray:
    """Return the mean overlap over the samples, with readable names of the maps."""
    array = result[name].mean("sample", keep_attrs=True)
    names = [MAPS.get(str(map_name), str(map_name)) for map_name in array["map"].values]
    return array.assign_coords(map=np.array(names, dtype=object))


def _norm(result: xr.Dataset) -> str:
    norm = result.attrs.get("norm", 0.0)
    return f"norm {norm:g}" if norm else "the probe's mean norm"


def _alone(result: xr.Dataset, figure: Figure, **select: Any) -> None:
    attribution(result, ax=figure.add_subplot(), **select)


def _attacks(array: xr.DataArray, figure: Figure) -> None:
    ax = figure.add_subplot()
    lines(array, ax)
    legend = ax.get_legend()
    if legend is not None:
        legend.set_title("ε")


def _overlaps(array: xr.DataArray, figure: Figure) -> None:
    """Draw the overlap of maps: lines for runs beside each other by map, of a single run lines for maps."""
    if "run" not in array.dims and array.sizes["map"] > 1:
        lines(array, figure.add_subplot())
        return
    axes = figure.subplots(1, array.sizes["map"], sharey=True, squeeze=False)[0]
    for ax, name in zip(axes, array["map"].values, strict=True):
        lines(array.sel(map=name, drop=True), ax)
        ax.set_title(name)
        ax.set_ylabel(ax.get_ylabel() if ax is axes[0] else "")
        if ax is not axes[-1] and (legend := ax.get_legend()) is not None:
            legend.remove()
