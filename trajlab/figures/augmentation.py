"""Figures of the invariance of layers to augmentation."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.figures.default import default
from trajlab.figures.marks import multiples
from trajlab.figures.marks.canvas import canvas
from trajlab.figures.marks.colors import CATEGORIES
from trajlab.figures.marks.heat import labels
from trajlab.figures.marks.labels import name_rows
from trajlab.figures.marks.lines import beside, lines
from trajlab.figures.marks.matrix import square, squares, up_to_one
from trajlab.figures.marks.selection import choose, recorded
from trajlab.figures.panel import Panel
from trajlab.statistics.extremes import last
from trajlab.statistics.shown_steps import evenly
from trajlab.statistics.studies import run_names

FEW = 8
"""Layers that have a line each."""

MOMENTS = 4
"""Steps that the report shows side by side."""

MATRICES = {"feature_correlation": "Correlation of features", "sample_correlation": "Correlation of copies"}
"""Matrices and their titles."""


def augmentation(result: xr.Dataset, *, ax: Axes | None = None, variable: str | None = None, **select: Any) -> Axes:
    """Draw the invariance of layers over the steps; `examples` are the images, a matrix is a square at a step.

    Parameters
    ----------
    result
        Result of the stage `augmentation`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable; by default the invariance.
    select
        Which part of it; matrices are of the last step they were kept at by default.
    """
    if variable == "examples" and variable in result:
        ax = canvas(ax, height=1.0 + result.sizes["original"])
        _sheet(result, ax)
        return ax
    if variable in MATRICES and variable in result:
        matrix = recorded(result[variable])
        select = {"step": matrix["step"].values[-1]} | {
            dim: label for dim, label in select.items() if label is not None
        }
        array, title = choose(result, variable, keep=[str(dim) for dim in matrix.dims[-2:]], **select)
        ax = canvas(ax, height=5.0)
        square(array, ax, up_to_one(array), groups=_groups(result, variable), by="image")
        ax.set_title(title)
        return ax
    if variable is None and "run" not in result.dims and result.sizes["layer"] <= FEW:
        array, title = choose(result, "invariance", keep=("step", "layer"), **select)
        ax = canvas(ax)
        lines(array, ax)
        ax.set_title(title)
        return ax
    return default(result, ax=ax, variable=variable or "invariance", **select)


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    runs = result.sizes.get("run", 1)
    caption = "1 − variance over the copies of an image / variance over the copies of all images."
    array = result["invariance"]
    if runs > 1 or result.sizes["layer"] > FEW:
        figures = [multiples.panel("invariance", "Invariance", caption, array.transpose(..., "layer", "step"))]
    else:
        figures = [Panel("invariance", "Invariance", caption, (9.2, 3.0), partial(_alone, result))]
    caption = "Mean correlation over the features of a layer at the end, a dot for each image and run."
    size = 9.2, max(1.8, 0.22 * result.sizes["layer"] + 1.0)
    figures.append(
        Panel("copies", "Copies of one image and of different images", caption, size, partial(_dots, result))
    )
    for name, title in MATRICES.items():
        if name in result:
            layer = result.attrs.get("matrix_layer", "")
            caption = f"Of {layer}{' in run ' + run_names(result)[0] if runs > 1 else ''}."
            if name == "sample_correlation":
                caption += " Copies of one image are side by side; lines part the images."
            figures.append(Panel(name, title, caption, (9.2, 3.2), partial(_moments, result, name)))
    caption = "Each row is an image and its first copies; values run from the least to the largest of each channel."
    size = 9.2, min(0.4 + result.sizes["original"] * 9.0 / result.sizes["example"], 8.0)
    figures.append(Panel("examples", "Augmented copies", caption, size, partial(_examples, result)))
    return figures


def _alone(result: xr.Dataset, figure: Figure) -> None:
    augmentation(result, ax=figure.add_subplot())


def _examples(result: xr.Dataset, figure: Figure) -> None:
    _sheet(result, figure.add_subplot())


def _sheet(result: xr.Dataset, ax: Axes) -> None:
    """Draw a row of images for each original: itself, and its copies."""
    images = result["examples"].isel(run=0, missing_dims="ignore").values.astype(np.float64)
    if images.shape[2] not in (1, 3):
        images = images.mean(2, keepdims=True)
    originals, count, channels, height, width = images.shape
    rows = np.full((originals, count, channels, height + 1, width + 1), np.nan)
    rows[..., :height, :width] = images
    picture = np.moveaxis(rows, (0, 3, 1, 4, 2), (0, 1, 2, 3, 4)).reshape(
        originals * (height + 1), count * (width + 1), channels
    )
    shown = np.ones((*picture.shape[:2], 4))
    shown[..., :3] = np.clip(np.nan_to_num(picture, nan=1.0), 0.0, 1.0)
    ax.imshow(shown[:-1, :-1], interpolation="nearest")
    positions = result["position"].isel(run=0, missing_dims="ignore").values
    ax.set_yticks(
        np.arange(originals) * (height + 1) + (height - 1) / 2, [f"sample {int(position)}" for position in positions]
    )
    ax.set_xticks(np.arange(count) * (width + 1) + (width - 1) / 2, ["original", *["copy"] * (count - 1)])
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _groups(result: xr.Dataset, variable: str) -> np.ndarray | None:
    """Return which sample each copy is of, where there are several."""
    if variable != "sample_correlation":
        return None
    positions = result["position"].isel(run=0, missing_dims="ignore").values.astype(np.int64)
    return np.repeat(positions, result.sizes["copy"] // len(positions)) if len(positions) > 1 else None


def _moments(result: xr.Dataset, name: str, figure: Figure) -> None:
    array = recorded(result[name].isel(run=0, missing_dims="ignore"))
    steps = array["step"].values[evenly(array.sizes["step"], MOMENTS)]
    parts = {f"step {step:,}": array.sel(step=step, drop=True) for step in steps}
    squares(parts, figure, up_to_one(array), groups=_groups(result, name), by="image")


def _dots(result: xr.Dataset, figure: Figure) -> None:
    """Draw how alike copies of one image are in each layer, beside copies of different images."""
    ax = figure.add_subplot()
    names = labels(result["invariance"], "layer")
    for name, label, color, shift in (
        ("copies_signed", "copies of one image", CATEGORIES[0], -0.13),
        ("others_signed", "copies of different images", CATEGORIES[1], 0.13),
    ):
        each = last(result[name]).transpose("layer", ...).values.reshape(len(names), -1)
        if np.isfinite(each).any():
            rows = np.repeat(np.arange(len(names)) + shift, each.shape[1])
            ax.scatter(each.ravel(), rows, s=24, color=color, alpha=0.6, label=label, linewidths=0)
    ax.set_ylim(len(names) - 0.5, -0.5)
    name_rows(ax, names)
    ax.set_xlim(None, 1.02)
    ax.set_xlabel("mean correlation of two copies")
    beside(ax)
