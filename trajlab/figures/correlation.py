"""Figures of the correlation of features, and of how layers change."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.figures.default import default
from trajlab.figures.marks import multiples
from trajlab.figures.marks.canvas import canvas
from trajlab.figures.marks.heat import heat, labels
from trajlab.figures.marks.labels import title_of
from trajlab.figures.marks.lines import lines
from trajlab.figures.marks.matrix import both_ways, from_zero, group_rows, square, squares, up_to_one
from trajlab.figures.marks.scale import Scale
from trajlab.figures.marks.selection import choose, recorded
from trajlab.figures.panel import Panel
from trajlab.statistics.shown_steps import evenly
from trajlab.statistics.studies import run_names

MOMENTS = 4
"""Steps that the report shows side by side."""

FEW = 8
"""Layers that have a line each."""

GRIDS = {
    "cka": ("CKA of layers", "1: equal up to rotation and scale; 0: unrelated."),
    "signed_off_diagonal": (
        "Correlation between layers",
        "Mean Pearson correlation of the features of two layers, those of a feature with itself left out.",
    ),
}
HISTORIES = {
    "absolute_off_diagonal": ("Redundancy", "Mean |ρ| of each two different features of a layer: 1 is one feature."),
    "cka_end": ("Similarity to the end", "CKA of each layer with itself at the last step."),
    "cka_start": ("Similarity to the start", "CKA of each layer with itself at the first step."),
    "own_end": ("Features that keep their unit", "Mean correlation of each feature with itself at the last step."),
}
ACROSS = ("cross_correlation", "cross_covariance")
"""Variables of each unit of a layer with each of another."""

MATRICES = {
    "feature_correlation": "Correlation of features",
    "feature_cosine": "Cosine of features",
    "sample_correlation": "Correlation of samples",
}


def correlation(result: xr.Dataset, *, ax: Axes | None = None, variable: str = "cka", **select: Any) -> Axes:
    """Draw a variable: of each two layers, features or samples as a square at a step, else over the steps.

    Parameters
    ----------
    result
        Result of the stage `correlation`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable; by default the CKA of layers.
    select
        Which part of it, as in ``step=100``; squares are of the last step by default.
    """
    if variable == "feature_values" and variable in result:
        select = {"step": last_step(result[variable])} | {d: label for d, label in select.items() if label is not None}
        array, title = choose(result, variable, keep=("sample", "unit"), **select)
        ax = canvas(ax, height=5.0)
        by_sample(array, by_class(result, variable, select.get("run")), ax)
        ax.set_title(", ".join(filter(None, [str(result.attrs.get("matrix_layer", "")), title])))
        return ax
    if variable in ACROSS and variable in result:
        select = {"step": last_step(result[variable])} | {d: label for d, label in select.items() if label is not None}
        array, title = choose(result, variable, keep=("unit", "unit_across"), **select)
        ax = canvas(ax, height=5.0)
        heat(array, ax, scale=both_ways(1.0 if variable == "cross_correlation" else _reach(array)))
        ax.set_ylabel(f"unit of {result.attrs.get('matrix_layer', '')}")
        ax.set_xlabel(f"unit of {result.attrs.get('matrix_layer_other', '')}")
        ax.set_title(title)
        return ax
    square_of = sides(result[variable]) if variable in result else ()
    if variable not in result or not is_square(result[variable]) or any(select.get(dim) for dim in square_of):
        return default(result, ax=ax, variable=variable, **select)
    select = {"step": last_step(result[variable])} | {dim: label for dim, label in select.items() if label is not None}
    array, title = choose(result, variable, keep=sides(result[variable]), **select)
    ax = canvas(ax, height=5.0)
    square(array, ax, scale_of(variable, array), groups=by_class(result, variable, select.get("run")))
    ax.set_title(title)
    return ax


def by_sample(array: xr.DataArray, classes: np.ndarray | None, ax: Axes) -> None:
    """Draw the features of samples as an image, a row for each sample, by class if there are any."""
    array = array.transpose("sample", "unit")
    if classes is not None:
        array = array.isel(sample=np.argsort(classes, kind="stable"))
    heat(array, ax)
    if classes is not None:
        group_rows(ax, np.sort(classes), "sample, by class")


def _reach(array: xr.DataArray) -> float:
    return float(np.nanmax(abs(array.values), initial=0.0))


def is_square(array: xr.DataArray) -> bool:
    """Return whether a variable holds a value for each two of something at each step."""
    return len(sides(array)) == 2 and "step" in array.dims


def sides(array: xr.DataArray) -> tuple[str, ...]:
    """Return the dims that have a partner, such as `layer` with `layer_other`."""
    return tuple(
        str(dim) for dim in array.dims if dim != "run" and f"{str(dim).removesuffix('_other')}_other" in array.dims
    )


def last_step(array: xr.DataArray) -> Any:
    """Return the last step at which something is known."""
    return recorded(array)["step"].values[-1]


def scale_of(variable: str, array: xr.DataArray) -> Scale:
    """Choose the colors: one way from 0 to 1, or both ways from zero."""
    if variable in MATRICES:
        return up_to_one(array)
    if variable.startswith("signed"):
        return both_ways(_reach(array))
    return from_zero()


def by_class(result: xr.Dataset, variable: str, run: Any = None) -> np.ndarray | None:
    """Return the classes of samples, for squares of samples that are to be sorted by them; None if there are none."""
    if variable not in ("sample_correlation", "feature_values") or "target" not in result:
        return None
    target = result["target"]
    target = target.sel(run=run) if "run" in target.dims and run is not None else target
    labeled = target.isel(run=0, missing_dims="ignore").values
    return labeled.astype(np.int64) if np.array_equal(labeled, np.round(labeled)) else None


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    count, runs = result.sizes["layer"], result.sizes.get("run", 1)
    mean = f" Mean of {runs} runs." if runs > 1 else ""
    figures = []
    for name, (title, caption) in GRIDS.items():
        if count > 1:
            size = (9.2, min(2.6 + 0.04 * count, 4.0))
            figures.append(Panel(name, title, caption + mean, size, partial(moments, result, name)))
    for name, (title, caption) in HISTORIES.items():
        array = history(result, name)
        if not bool(array.notnull().any()):
            continue
        if runs > 1 or count > FEW:
            figures.append(multiples.panel(name, title, caption, array.transpose(..., "layer", "step")))
        else:
            figures.append(Panel(name, title, caption, (9.2, 3.0), partial(_lines, array)))
    if "cross_correlation" in result:
        run = f" in run {run_names(result)[0]}" if runs > 1 else ""
        caption = (
            f"Each unit of {result.attrs['matrix_layer']} with each of {result.attrs['matrix_layer_other']}{run}, "
        )
        caption += f"at step {int(last_step(result['cross_correlation'])):,}."
        draw = partial(_alone, result, "cross_correlation")
        figures.append(Panel("cross_correlation", "Correlation of two layers", caption, (9.2, 4.0), draw))
    if "feature_values" in result:
        caption = f"Of {result.attrs.get('matrix_layer', '')}{' in run ' + run_names(result)[0] if runs > 1 else ''}, "
        caption += f"at step {int(last_step(result['feature_values'])):,}; a row for each sample, sorted by class."
        draw = partial(_alone, result, "feature_values")
        figures.append(Panel("feature_values", "Features of the samples", caption, (9.2, 4.4), draw))
    for name, title in MATRICES.items():
        if name in result:
            layer = result.attrs.get("matrix_layer", "")
            caption = f"Of {layer}{' in run ' + run_names(result)[0] if runs > 1 else ''}."
            if by_class(result, name) is not None:
                caption += " Samples are sorted by class; lines part the classes."
            figures.append(Panel(name, title, caption, (9.2, 3.2), partial(moments, result, name)))
    return figures


def _alone(result: xr.Dataset, variable: str, figure: Figure) -> None:
    correlation(result, ax=figure.add_subplot(), variable=variable)


def history(result: xr.Dataset, name: str) -> xr.DataArray:
    """Return a variable of each layer over the steps; of each two layers that of a layer with itself."""
    array = result[name]
    if "layer_other" not in array.dims:
        return array
    positions = xr.DataArray(np.arange(array.sizes["layer"]), dims="layer")
    diagonal = array.isel(layer_other=positions, layer=positions).drop_vars("layer_other")
    title = f"{array.attrs.get('long_name', name)} within layers"
    return diagonal.assign_coords(layer=result["layer"]).assign_attrs(long_name=title)


def moments(result: xr.Dataset, name: str, figure: Figure) -> None:
    """Draw a few steps side by side: layers as the mean of the runs, matrices of the first run."""
    array = result[name]
    if "run" in array.dims:
        array = array.isel(run=0) if name in MATRICES else array.mean("run", keep_attrs=True)
    array = recorded(array)
    steps = array["step"].values[evenly(array.sizes["step"], MOMENTS)]
    parts = {f"step {step:,}": array.sel(step=step, drop=True) for step in steps}
    squares(parts, figure, scale_of(name, array.sel(step=steps)), groups=by_class(result, name))


def _lines(array: xr.DataArray, figure: Figure) -> None:
    ax = figure.add_subplot()
    lines(array.transpose("step", "layer"), ax)
    if len(labels(array, "layer")) == 1:
        ax.set_title(title_of(array))
