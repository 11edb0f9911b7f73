"""Figures of the path in its first two components, and of their variance beside that of a random walk."""

from functools import partial
from math import ceil
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trajlab.figures.default import default
from trajlab.figures.marks import multiples
from trajlab.figures.marks.canvas import canvas, tall
from trajlab.figures.marks.colors import CATEGORIES, GRID, INK, SEQUENTIAL
from trajlab.figures.marks.labels import name_rows, per_cent, shorten_to
from trajlab.figures.marks.lines import beside
from trajlab.figures.marks.selection import choose, recorded
from trajlab.figures.panel import Panel
from trajlab.statistics.studies import run_labels, run_names

FEW = 6
"""Components whose shares are drawn."""

WALK = CATEGORIES[7]


def projection(result: xr.Dataset, *, ax: Axes | None = None, variable: str = "scores", **select: Any) -> Axes:
    """Draw the path in the plane of the first two components, all else as bars and lines.

    Parameters
    ----------
    result
        Result of the stage `projection`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable.
    select
        Which part of it, as in ``parameter="fc1.weight"``; by default the whole network in the first run.
    """
    if variable not in ("scores", "total_scores") or select.get("component") is not None:
        return default(result, ax=ax, variable=variable, **select)
    if "run" in result.dims and select.get("run") is None:
        select["run"] = result["run"].values[0]
    ax = canvas(ax)
    mesh, title = _plane(result, ax, **select)
    _step_bar(mesh, [ax])
    ax.set_title(title)
    return ax


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    runs: list[str | None] = [*run_names(result)] or [None]
    shown = [runs[i] for i in multiples.some_of(len(runs))]
    wide = multiples.columns(len(shown))
    height = (2.3 if wide > 1 else 3.6) * ceil(len(shown) / wide) + 0.3
    whole = "of the whole network" if "parameter" in result.dims else "of the tensor"
    caption = (
        "Every dot is a snapshot; percentages are shares of the variance over the steps. A random walk draws an arc, "
        "too: compare the shares with the next figure."
    )
    if len(shown) < len(runs):
        caption += f" {len(shown)} of {len(runs)} runs, evenly spaced in their order."
    draw = partial(_planes, result, shown)
    figures = [Panel("scores", f"Path {whole} in its first two components", caption, (9.2, height), draw)]
    caption = "Gray: a random walk in many dimensions at the same steps."
    caption += " Dots: single runs." if len(runs) > 1 else ""
    draw = partial(_shares, result)
    figures.append(Panel("explained", f"Variance {whole} by component", caption, (9.2, 2.8), draw))
    apart = result[_whole(result, "distance")].assign_attrs(long_name="distance")
    caption = "|w_t − w_a|₂ from each snapshot to those of the rows: dark blocks are phases in which little moves."
    figures.append(multiples.panel("distance", f"Distance {whole} between snapshots", caption, apart))
    if "parameter" in result.dims:
        caption = (
            "Bar: share of the first two components; mark: their share of a random walk in many dimensions. "
            "Small tensors have larger shares by chance."
        )
        size = (9.2, tall(result.sizes["parameter"]))
        figures.append(Panel("layers", "Variance in a plane, by layer", caption, size, partial(_layers, result)))
        turns = result["direction_consistency"]
        if turns.sizes["step"] > 2:
            caption = (
                "Cosine of each update with the one before: 1 straight on, 0 as of random directions, below 0 back and "
                f"forth. Random directions vary by {_range(result['direction_consistency_null'])}."
            )
            key, turns = "direction_consistency", turns.isel(step=slice(2, None))
            figures.append(multiples.panel(key, "Direction consistency", caption, turns, center=0.0))
    return figures


def _range(null: xr.DataArray) -> str:
    """Write the least and the largest standard deviation of random directions of any parameter."""
    least, most = float(null.min()), float(null.max())
    return f"±{least:.2g}" if least == most else f"±{least:.2g} to ±{most:.2g}, less the larger the tensor"


def _whole(result: xr.Dataset, name: str) -> str:
    return f"total_{name}" if f"total_{name}" in result else name


def _plane(result: xr.Dataset, ax: Axes, *, brief: bool = False, **select: Any) -> tuple[PathCollection, str]:
    """Draw one path and return its marks and title; brief labels name the components by their numbers only."""
    prefix = "" if select.get("parameter") is not None else "total_" if "total_scores" in result else ""
    select = {dim: label for dim, label in select.items() if dim != "parameter" or not prefix}
    scores, title = choose(result, f"{prefix}scores", keep=("step", "component"), **select)
    shares = choose(result, f"{prefix}explained_variance_ratio", keep=("component",), **select).array.values
    scores = recorded(scores).transpose("component", "step")
    steps, x = scores["step"].values, scores.values[0]
    y = scores.values[1] if len(scores) > 1 else np.zeros_like(x)
    ax.axhline(0.0, color=GRID, linewidth=0.8, zorder=0)
    ax.axvline(0.0, color=GRID, linewidth=0.8, zorder=0)
    ax.plot(x, y, color=INK, linewidth=0.5, alpha=0.5, zorder=1)
    mesh = ax.scatter(x, y, c=steps, cmap=SEQUENTIAL, s=12, linewidths=0, zorder=2)
    ax.scatter(x[:1], y[:1], s=42, marker="s", facecolors="none", edgecolors=INK, zorder=3)
    ax.scatter(x[-1:], y[-1:], s=42, marker="o", facecolors="none", edgecolors=INK, zorder=3)
    ax.margins(0.08)
    label = "{}: {}" if brief else "component {} [weight], {}"
    ax.set_xlabel(label.format(1, _written(shares, 0)))
    ax.set_ylabel(label.format(2, _written(shares, 1)))
    return mesh, title


def _written(shares: np.ndarray, component: int) -> str:
    share = shares[component] if component < len(shares) else 0.0
    return f"{100 * share:.1f} %" if np.isfinite(share) else "no movement"


def _ends() -> list[Line2D]:
    style: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "none", "markeredgecolor": INK, "markersize": 6}
    return [Line2D([], [], marker=m, label=name, **style) for m, name in (("s", "first step"), ("o", "last step"))]


def _step_bar(mesh: PathCollection, axes: list[Axes]) -> None:
    bar = axes[0].figure.colorbar(mesh, ax=axes, label="step", fraction=0.04, pad=0.015)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    bar.outline.set_visible(False)


def _planes(result: xr.Dataset, runs: list[str | None], figure: Figure) -> None:
    wide = multiples.columns(len(runs))
    axes = figure.subplots(ceil(len(runs) / wide), wide, squeeze=False).ravel()
    for ax in axes[len(runs) :]:
        ax.remove()
    labels = dict(zip(run_names(result), run_labels(result), strict=True))
    names = [labels.get(str(run), "") for run in runs]
    for ax, run, name in zip(axes, runs, names, strict=False):
        mesh, title = _plane(result, ax, brief=wide > 1, **({} if run is None else {"run": run}))
        ax.set_title(shorten_to(ax, name or title))
        if wide > 1:
            ax.tick_params(labelsize="x-small")
    _step_bar(mesh, list(axes[: len(runs)]))
    figure.legend(handles=_ends(), loc="outside lower center", ncols=2, frameon=False)


def _shares(result: xr.Dataset, figure: Figure) -> None:
    """Draw the shares of the first components as bars beside those of a random walk, and a dot for each run."""
    ax = figure.add_subplot()
    name = _whole(result, "explained_variance_ratio")
    shares_of, walk = result[name].isel(component=slice(FEW)), result[_walk(name)].isel(component=slice(FEW))
    at = shares_of["component"].values.astype(float)
    mean, null = (array.mean("run") if "run" in array.dims else array for array in (shares_of, walk))
    runs = result.sizes.get("run", 1)
    label = f"mean of {runs} runs" if runs > 1 else "this run"
    ax.bar(at - 0.2, mean.values, width=0.38, color=CATEGORIES[0], label=label)
    ax.bar(at + 0.2, null.values, width=0.38, color=WALK, label="random walk")
    if runs > 1:
        points = shares_of.transpose("run", "component").values
        across = np.broadcast_to(at - 0.2, points.shape)
        ax.scatter(across, points, s=9, color=INK, linewidths=0, alpha=0.7, zorder=3, label="single runs")
    ax.set_xticks(at, [f"{component:.0f}" for component in at])
    ax.set_xlabel("component")
    ax.set_ylabel("share of the variance")
    ax.yaxis.set_major_formatter(per_cent)
    beside(ax)


def _walk(name: str) -> str:
    return f"{name}_walk"


def _layers(result: xr.Dataset, figure: Figure) -> None:
    """Draw what the first two components hold of each parameter, and what they hold of a random walk."""
    ax = figure.add_subplot()
    name = "explained_variance_ratio"
    plane, null = (
        result[array].isel(component=slice(2)).sum("component", skipna=False) for array in (name, _walk(name))
    )
    plane, null = (array.mean("run") if "run" in array.dims else array for array in (plane, null))
    rows = np.arange(plane.sizes["parameter"])
    ax.barh(rows, np.nan_to_num(plane.values), height=0.72, color=CATEGORIES[0], label="first two components")
    ax.scatter(null.values, rows, marker="|", s=60, color=INK, linewidths=1.6, zorder=3, label="random walk")
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlim(0.0, 1.0)
    ax.xaxis.set_major_formatter(per_cent)
    ax.set_xlabel("share of the variance")
    name_rows(ax, [str(array) for array in plane["parameter"].values])
    beside(ax)
