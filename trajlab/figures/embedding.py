"""Figures of features in the plane, kNN accuracy, effective ranks and singular values."""

from functools import partial
from math import ceil
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.errors import BadSetting
from trajlab.figures.default import default
from trajlab.figures.marks.by_layer import by_layer
from trajlab.figures.marks.canvas import canvas
from trajlab.figures.marks.colors import MISSING
from trajlab.figures.marks.labels import shorten, shorten_to
from trajlab.figures.marks.lines import beside
from trajlab.figures.marks.points import frame, legend, look_of, points, value_bar
from trajlab.figures.marks.selection import choose, moment
from trajlab.figures.marks.singular import LEAST, singular, step_bar
from trajlab.figures.panel import Frames, Panel
from trajlab.statistics.shown_steps import evenly

MAPS = {"tsne": "t-SNE", "pca": "principal components"}
"""Variables that are drawn as points."""

STEPS, LAYERS = 5, 5
"""Steps and layers that the report shows."""

ACROSS = 3
"""Steps up to which layers stand side by side, and steps one below the other."""


def embedding(result: xr.Dataset, *, ax: Axes | None = None, variable: str | None = None, **select: Any) -> Axes:
    """Draw samples as points, kNN accuracy and ranks as a line for each layer, or singular values.

    Parameters
    ----------
    result
        Result of the stage `embedding`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable; by default the t-SNE, or without it the PCA.
    select
        Which part of it, as in ``layer="relu3"``; points are those of the last layer and step of the first run by
        default.
    """
    variable = variable or ("tsne" if "tsne" in result else "pca")
    if variable in MAPS and variable in result:
        at, title = moment(result, **({"layer": result["layer"].values[-1]} | _asked(select)))
        ax = canvas(ax, height=4.8, width=6.4)
        _points(result, at, variable, ax, size=16.0)
        if handles := legend(look_of(_targets(result))):
            beside(ax, handles)
        value_bar(look_of(_targets(result)), [ax])
        ax.set_title(", ".join([f"{at['layer'].item()}, {title}", *_accuracy(at)]))
        return ax
    if variable == "singular_values":
        chosen = {"layer": result["layer"].values[-1]} | (
            {"run": result["run"].values[0]} if "run" in result.dims else {}
        )
        values, title = choose(result, variable, keep=("step", "direction"), **(chosen | _asked(select)))
        ax = canvas(ax)
        singular(values, ax)
        step_bar(values["step"].values, [ax])
        ax.set_title(title)
        return ax
    if (
        variable in result
        and set(result[variable].dims) - {"run"} == {"step", "layer"}
        and "layer" not in _asked(select)
    ):
        array, title = choose(result, variable, keep=("step", "layer", "run"), **select)
        ax = canvas(ax)
        by_layer(array, ax, chance=_chance(result, array))
        ax.set_title(title)
        return ax
    return default(result, ax=ax, variable=variable, **select)


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    figures = []
    columns, rows = len(evenly(result.sizes["step"], STEPS)), len(evenly(result.sizes["layer"], LAYERS))
    down, wide = (columns, rows) if _is_across(result) else (rows, columns)
    size = (9.2, min(8.2 / wide, 1.9) * down + (0.25 * down if _is_across(result) else 0.0) + 0.5)
    run = f" Run {result['run'].values[0]}." if "run" in result.dims else ""
    way = "column" if _is_across(result) else "row"
    accuracy = " kNN: accuracy of the nearest neighbors among the features." if "knn_accuracy" in result else ""
    for name in [name for name in MAPS if name in result]:
        caption = f"Each point is a sample, each {way} a layer; every picture has a scale of its own.{accuracy}{run}"
        figures.append(Panel(name, f"Features by {MAPS[name]}", caption, size, partial(_grid, result, name)))
    many = " Strong: median of the runs." if result.sizes.get("run", 1) > 1 else ""
    if "knn_accuracy" in result:
        k = result.attrs.get("neighbors", "")
        caption = f"Majority vote of the {k} nearest other samples. Dashed: majority-class rate.{many}"
        draw = partial(_lines, result, "knn_accuracy")
        figures.append(Panel("knn_accuracy", "kNN accuracy", caption, (9.2, 3.2), draw))
    caption = f"exp(entropy of s/Σs): in how many directions the features of a layer vary.{many}"
    draw = partial(_lines, result, "effective_rank")
    figures.append(Panel("effective_rank", "Effective rank of the features", caption, (9.2, 3.0), draw))
    caption = f"Of features less their means, down to {LEAST:g} of the largest.{run}"
    draw = partial(_spectra, result)
    wide = min(rows, 3)
    size = (9.2, 2.2 * ceil(rows / wide) + 0.3)
    figures.append(Panel("singular_values", "Singular values of the features", caption, size, draw))
    return figures


def frames(result: xr.Dataset, *, variable: str | None = None, **select: Any) -> Frames:
    """Return the points at each step, of a few layers side by side.

    Parameters
    ----------
    result
        Result of the stage `embedding`.
    variable
        Which variable, `tsne` or `pca`.
    select
        Which part of it, as in ``layer="relu3"``.
    """
    variable = variable or ("tsne" if "tsne" in result else "pca")
    if variable not in MAPS or variable not in result:
        names = " and ".join(name for name in MAPS if name in result)
        raise BadSetting(f"cannot animate {variable!r}: only {names} can be; choose one.")
    asked = _asked(select)
    layers = [asked.pop("layer")] if "layer" in asked else _few(result, "layer", LAYERS)
    steps = result["step"].values

    def draw(figure: Figure, position: int) -> None:
        for ax, layer in zip(figure.subplots(1, len(layers), squeeze=False)[0], layers, strict=True):
            at, title = moment(result, **(asked | {"layer": layer, "step": steps[position]}))
            _points(result, at, variable, ax, size=10.0)
            whole = result.sel(layer=layer) if "run" not in at.coords else result.sel(layer=layer, run=at["run"].item())
            frame(ax, _plane(whole[variable]).reshape(-1, 2))
            ax.set_title("\n".join([shorten(str(layer)), *_accuracy(at)]))
        figure.suptitle(title)
        figure.legend(handles=legend(look_of(_targets(result))), loc="outside lower center", ncols=5)

    return Frames(steps, (max(2.3 * len(layers), 4.0), 3.6), draw)


def _asked(select: dict[str, Any]) -> dict[str, Any]:
    return {dim: label for dim, label in select.items() if label is not None}


def _few(result: xr.Dataset, dim: str, most: int) -> list[Any]:
    """Return labels of a dim, evenly."""
    return [result[dim].values[i] for i in evenly(result.sizes[dim], most)]


def _targets(result: xr.Dataset) -> np.ndarray | None:
    if "target" not in result:
        return None
    target = result["target"]
    return (target.isel(run=0) if "run" in target.dims else target).values


def _accuracy(at: xr.Dataset) -> list[str]:
    """Return the kNN accuracy in words; nothing where it is unknown."""
    is_known = "knn_accuracy" in at and np.isfinite(at["knn_accuracy"])
    return [f"kNN {100 * at['knn_accuracy'].item():.0f} %"] if is_known else []


def _plane(array: xr.DataArray) -> np.ndarray:
    """Return the first two components, (…, sample, 2); of one alone the other is 0."""
    values = array.transpose(..., "sample", "component").values[..., :2]
    return values if values.shape[-1] == 2 else np.concatenate([values, 0 * values], axis=-1)


def _points(result: xr.Dataset, at: xr.Dataset, variable: str, ax: Axes, *, size: float) -> None:
    """Draw one layer at one step of one run."""
    target = at["target"].values if "target" in at else None
    coordinates = _plane(at[variable])
    if np.isfinite(coordinates[:, 0]).any():
        coordinates = np.where(np.isfinite(coordinates[:, :1]), np.nan_to_num(coordinates), np.nan)
    points(coordinates, target, look_of(_targets(result)), ax, size=size)
    if not np.isfinite(coordinates).any():
        ax.set_facecolor(MISSING)
    for side in ("top", "right"):
        ax.spines[side].set_visible(True)


def _grid(result: xr.Dataset, variable: str, figure: Figure) -> None:
    """Draw layers one below the other and steps side by side; layers side by side where steps are few."""
    layers, steps = _few(result, "layer", LAYERS), _few(result, "step", STEPS)
    across = _is_across(result)
    axes = figure.subplots(*((len(steps), len(layers)) if across else (len(layers), len(steps))), squeeze=False)
    for row, layer in zip(axes.T if across else axes, layers, strict=True):
        still = len(steps) > 1 and _is_still(result[variable].sel(layer=layer))
        for ax, step in zip(row, steps, strict=True):
            if still and ax is not row[0]:
                ax.remove()
                continue
            at = moment(result, layer=layer, step=step)[0]
            _points(result, at, variable, ax, size=7.0)
            words = ["all steps" if still else f"step {step:,}", *_accuracy(at)]
            ax.set_title("\n".join([shorten_to(ax, str(layer)), ", ".join(words)] if across else [", ".join(words)]))
        row[0].set_ylabel("" if across else shorten(str(layer)))
    look = look_of(_targets(result))
    value_bar(look, [ax for ax in axes.ravel() if ax.figure is not None])
    if handles := legend(look):
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), columnspacing=1.2)


def _is_across(result: xr.Dataset) -> bool:
    """Return whether layers stand side by side."""
    return result.sizes["step"] <= ACROSS


def _is_still(array: xr.DataArray) -> bool:
    """Return whether all steps are the same, as they are of the inputs."""
    first = array.isel(run=0) if "run" in array.dims else array
    return bool(first.equals(xr.zeros_like(first) + first.isel(step=0, drop=True)))


def _lines(result: xr.Dataset, variable: str, figure: Figure) -> None:
    array = result[variable]
    by_layer(array, figure.add_subplot(), chance=_chance(result, array))


def _chance(result: xr.Dataset, array: xr.DataArray) -> float | None:
    """Return the majority-class rate, the baseline of kNN accuracy."""
    return float(result["knn_chance"].max()) if str(array.name).startswith("knn_accuracy") else None


def _spectra(result: xr.Dataset, figure: Figure) -> None:
    """Draw the singular values of a few layers side by side."""
    layers = _few(result, "layer", LAYERS)
    wide = min(len(layers), 3)
    axes = figure.subplots(ceil(len(layers) / wide), wide, squeeze=False).ravel()
    for ax in axes[len(layers) :]:
        ax.remove()
    first = {"run": result["run"].values[0]} if "run" in result.dims else {}
    for i, (ax, layer) in enumerate(zip(axes, layers, strict=False)):
        values = choose(result, "singular_values", keep=("step", "direction"), layer=layer, **first).array
        singular(values, ax)
        ax.set_title(shorten(str(layer)))
        ax.set_ylabel(ax.get_ylabel() if i % wide == 0 else "")
    step_bar(result["step"].values, list(axes[: len(layers)]))
