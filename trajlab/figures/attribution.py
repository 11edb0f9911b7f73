"""Figures of attributions: input gradients, Grad-CAM, adversarial inputs, and maximizing inputs of units."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.figures.default import default
from trajlab.figures.marks import attribute_overlap, multiples
from trajlab.figures.marks.canvas import canvas
from trajlab.figures.marks.image_grid import leveled, overlaid, picture, ratio, sheet, signed
from trajlab.figures.marks.lines import lines
from trajlab.figures.marks.selection import moment, position
from trajlab.figures.panel import Panel
from trajlab.statistics.studies import groups

OBJECTIVES = {
    "loss": "loss",
    "logit": "logit of the label",
    "p_logit": "logit of the label times its probability",
    "predicted_logit": "logit of the predicted class",
}
"""Objectives that input gradients differentiate, by the setting of the stage."""

MAPS = {"grad_cam": "Grad-CAM", "input_gradient": "input gradient", "token_gradient": "token gradient"}
"""Names of maps."""

ROWS = {
    "image": "input",
    "input_gradient": "gradient",
    "grad_cam": "Grad-CAM",
    "adversarial": "adversarial",
}
"""Rows of the sheet of samples, and their names."""

ABOVE = 18
"""Points between a sheet and its title, where the column names stand."""

MOST = 12
"""Columns of a sheet at most."""

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
        _units(result, variable, ax, **select)
        return ax
    if variable in OF_SAMPLES and variable in _rows(result) and is_image(result["image"]):
        return _maps(result, variable, ax, **select)
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
        _over_steps(result, ax, **select)
    else:
        _samples(result, ax, **select)
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
        size = _size(shape, rows, min(result.sizes["sample"], MOST))
        title = f"Attributions at step {int(result['step'][-1]):,}"
        figures.append(Panel("samples", title, caption + gray + run, size, partial(_alone, result)))
        if len(kinds := _kinds(result)) > 1 and "grad_cam" in _rows(result):
            size = _size(shape, 1 + len(kinds), min(result.sizes["sample"], MOST))
            title = f"Grad-CAM of each kind of run at step {int(result['step'][-1]):,}"
            text = f"{ways['grad_cam']} Of runs that differ in their seed only, the first is shown."
            figures.append(Panel("runs", title, text, size, partial(_alone, result, variable="grad_cam")))
        if result.sizes["step"] > 1 and rows > 1:
            draw = partial(_alone, result, sample=0)
            size = _size(shape, rows - 1, result.sizes["step"])
            figures.append(Panel("steps", "Attributions of one sample over the steps", caption + run, size, draw))
    captions = {
        "maximum_response": f"The input of {_norm(result)} that gradient ascent found for each unit; zero is middle "
        "gray, and each picture has its own scale. Noise is left where a unit has no gradient.",
        "activation_map": "Activation of each unit on one sample, dark to light; a unit has one scale at all steps.",
    }
    names = {"maximum_response": "Maximizing inputs of units of {}", "activation_map": "Activation maps of units of {}"}
    for name, text in captions.items():
        if name in result and is_image(result[name]):
            size = _size(result[name].shape, result.sizes["step"], result.sizes["unit"])
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


def _norm(result: xr.Dataset) -> str:
    norm = result.attrs.get("norm", 0.0)
    return f"norm {norm:g}" if norm else "the probe's mean norm"


def mean_overlap(result: xr.Dataset, name: str) -> xr.DataArray:
    """Return the mean overlap over the samples, with readable names of the maps."""
    array = result[name].mean("sample", keep_attrs=True)
    names = [MAPS.get(str(map_name), str(map_name)) for map_name in array["map"].values]
    return array.assign_coords(map=np.array(names, dtype=object))


def is_image(array: xr.DataArray) -> bool:
    """Return whether an array holds images."""
    axes = [str(dim) for dim in array.dims if dim not in ("run", "step", "sample", "unit", "channel")]
    return len(axes) == 2


def _size(shape: tuple[int, ...], rows: int, columns: int) -> tuple[float, float]:
    """Return the size in inches of a sheet of so many tiles."""
    return 9.2, min(8.0 * ratio(shape, rows, columns) + 0.8, 7.0)


def _channels(array: xr.DataArray) -> np.ndarray:
    """Return pictures, (…, channel, y, x)."""
    return array.values if "channel" in array.dims else array.values[..., None, :, :]


def _tile(at: xr.Dataset, name: str) -> np.ndarray:
    """Return a picture of one sample at one step."""
    image = picture(_channels(at["image"]))
    if name == "input_gradient":
        return signed(_channels(at[name]).sum(0))
    if name == "grad_cam":
        return overlaid(image, at[name].values)
    return picture(_channels(at[name]))


def _rows(result: xr.Dataset) -> list[str]:
    return [name for name in ROWS if name in result and (name != "grad_cam" or is_image(result[name]))]


def _samples(result: xr.Dataset, ax: Axes, **select: Any) -> None:
    """Draw all samples at a step."""
    at, title = moment(result, **select)
    rows = _rows(result)
    samples = [at.isel(sample=i) for i in range(min(at.sizes["sample"], MOST))]
    tiles = [[_tile(sample, name) for sample in samples] for name in rows]
    below, note = (
        [_told(sample, "adversarial_predicted") for sample in samples],
        "prediction of the adversarial input",
    )
    is_attacked = "adversarial_predicted" in at
    sheet(tiles, ax, rows=[ROWS[name] for name in rows], columns=[_name(sample) for sample in samples],
          below=below if is_attacked else (), note=note if is_attacked else "")  # fmt: skip
    ax.set_title(f"{title}: label, → prediction where it differs", y=1.0, pad=ABOVE)


def _over_steps(result: xr.Dataset, ax: Axes, sample: int, **select: Any) -> None:
    """Draw a sample at all steps."""
    rows = [name for name in _rows(result) if name != "image"]
    first, _ = moment(result.isel(sample=sample), **select, step=None)
    run = {"run": select.get("run")}
    steps = [moment(result.isel(sample=sample), step=step, **run)[0] for step in result["step"].values]
    tiles = [[_tile(at, name) for at in steps] for name in rows]
    is_attacked = "adversarial_predicted" in result
    sheet(tiles, ax, rows=[ROWS[name] for name in rows], columns=[f"step {int(at['step']):,}" for at in steps],
          below=[_told(at, "adversarial_predicted") for at in steps] if is_attacked else (),
          note="prediction of the adversarial input" if is_attacked else "")  # fmt: skip
    ax.set_title(f"sample {int(first['sample_index'])} of the probe", y=1.0, pad=ABOVE)


def _maps(result: xr.Dataset, name: str, ax: Axes | None, **select: Any) -> Axes:
    """Draw the maps of the samples at a step, a row for each kind of run; of a single run a row for each step."""
    few = result.isel(sample=slice(MOST))
    if select.get("run") is None and len(kinds := _kinds(result)) > 1:
        rows = {kind: moment(few, step=select.get("step"), run=result["run"].values[i])[0] for kind, i in kinds.items()}
        title = f"step {int(next(iter(rows.values()))['step']):,}"
    else:
        steps = result["step"].values if select.get("step") is None else [select["step"]]
        rows = {f"step {step:,}": moment(few, step=step, run=select.get("run"))[0] for step in steps}
        title = str(next(iter(rows.values()))["run"].item()) if "run" in result.dims else ""
    first = next(iter(rows.values()))
    inputs = [picture(_channels(first["image"].isel(sample=i))) for i in range(first.sizes["sample"])]
    tiles = [[_tile(at.isel(sample=i), name) for i in range(at.sizes["sample"])] for at in rows.values()]
    names = [_name(first.drop_vars("predicted", errors="ignore").isel(sample=i)) for i in range(len(inputs))]
    width, height = _size(result["image"].shape, 1 + len(rows), len(names))
    ax = canvas(ax, height=height, width=width)
    sheet([inputs, *tiles], ax, rows=["input", *rows], columns=names)
    ax.set_title(", ".join(filter(None, [ROWS[name], title])), y=1.0, pad=ABOVE)
    return ax


def _kinds(result: xr.Dataset) -> dict[str, int]:
    """Return the position of the first run of each kind; runs of a kind differ in their seed only."""
    if "run" not in result.dims:
        return {}
    return {kind: places[0] for kind, places in list(groups(result).items())[:MOST]}


def _name(at: xr.Dataset) -> str:
    """Return the label of a sample, and its prediction where it differs."""
    if "target" not in at or at["target"].ndim or at["target"].dtype.kind == "f" and float(at["target"]) % 1:
        return f"#{int(at['sample_index'])}"
    predicted = _told(at, "predicted")
    label = f"{float(at['target']):g}"
    return label if predicted in ("", label) else f"{label} → {predicted}"


def _told(at: xr.Dataset, name: str) -> str:
    if name not in at:
        return ""
    return f"{float(at[name]):g}" if np.isfinite(at[name]) else "–"


def _units(result: xr.Dataset, name: str, ax: Axes, **select: Any) -> None:
    """Draw units by steps."""
    at = result.isel(run=0) if "run" in result.dims and select.get("run") is None else result
    at = at.sel({dim: label for dim, label in select.items() if dim in at.dims and label is not None})
    array = at[name] if "step" in at[name].dims else at[name].expand_dims("step")
    array = array.transpose("step", "unit", ...)
    if name == "maximum_response":
        values = _channels(array)
        tops = np.nanmax(np.where(np.isfinite(values), abs(values), 0.0), axis=tuple(range(2, values.ndim)))
        tiles = [[picture(one, (-top or -1.0, top or 1.0)) for one, top in zip(row, limit, strict=True)]
                 for row, limit in zip(values, tops, strict=True)]  # fmt: skip
    else:
        finite, axes = np.isfinite(array.values), (0, 2, 3)
        low = np.min(array.values, axis=axes, where=finite, initial=np.inf)
        high = np.max(array.values, axis=axes, where=finite, initial=-np.inf)
        low, high = (np.where(finite.any(axes), limit, 0.0) for limit in (low, high))
        tiles = [[leveled(one, (float(low[i]), float(high[i]))) for i, one in enumerate(row)] for row in array.values]
    columns = [f"unit {unit}" for unit in array["unit"].values]
    sheet(tiles, ax, rows=[f"step {step:,}" for step in np.atleast_1d(array["step"].values)], columns=columns)
    ax.set_title(
        f"{result.attrs.get('layer', '')} {at['run'].item() if 'run' in at.coords else ''}".strip(), y=1.0, pad=ABOVE
    )


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
