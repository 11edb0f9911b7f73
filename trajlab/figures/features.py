"""Figures of the distribution of activations, and of how it shifts."""

from functools import partial
from itertools import cycle
from math import ceil
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trajlab.figures.default import default
from trajlab.figures.marks import ends, multiples
from trajlab.figures.marks.canvas import canvas
from trajlab.figures.marks.colors import CATEGORIES, INK
from trajlab.figures.marks.densities import densities, density_bar
from trajlab.figures.marks.ends import COLUMNS, ENDS, alone
from trajlab.figures.marks.labels import shorten, step_axis, value_axis
from trajlab.figures.marks.lines import DASHES, beside, palette
from trajlab.figures.marks.quantile_fan import quantile_fan
from trajlab.figures.marks.scale import spans_decades
from trajlab.figures.marks.selection import choose, recorded
from trajlab.figures.panel import Panel
from trajlab.statistics.extremes import typical
from trajlab.statistics.result import reference_name
from trajlab.statistics.shown_steps import evenly
from trajlab.statistics.studies import groups

MOST = 9
"""Layers that are shown one by one."""


def features(result: xr.Dataset, *, ax: Axes | None = None, variable: str = "histogram", **select: Any) -> Axes:
    """Draw the histogram as densities over the steps, quantiles as a fan, all else as heat maps and lines.

    Parameters
    ----------
    result
        Result of the stage `features`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable; `first_and_last` are the histograms of the first and the last step, of several layers and kinds
        of runs, on one kind of inputs.
    select
        Which part of it, as in ``layer="relu1", input="uniform"``; by default the first layer and kind of inputs of the
        first run.
    """
    if variable == ENDS:
        of_kind = result.isel(input=0)
        return alone(of_kind, "layer", [_shown(result)[i] for i in evenly(len(_shown(result)), COLUMNS)], ax)
    if variable not in ("quantiles", "histogram"):
        return default(result, ax=ax, variable=variable, **select)
    if "run" in result.dims and select.get("run") is None:
        select["run"] = result["run"].values[0]
    array, title = choose(result, variable, keep=("step", "quantile", "bin"), **select)
    ax = canvas(ax)
    if variable == "quantiles":
        quantile_fan(array, ax)
        beside(ax)
    else:
        densities(array, _edges(result, **select), ax)
    ax.set_ylabel("activation")
    ax.set_title(title)
    return ax


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    first = str(result["input"].values[0])
    of_first = result.isel(input=0, drop=True)
    figures = [
        multiples.panel("std", "Standard deviation of the activations", f"On the {first} inputs.", of_first["std"]),
        multiples.panel(
            "ks",
            f"Shift from {reference_name(result.attrs)}",
            f"Kolmogorov–Smirnov distance on the {first} inputs: 0 for equal distributions, 1 for disjoint ones.",
            of_first["ks"],
        ),
    ]
    shown = _shown(result)
    wide = min(len(shown), 3)
    height = 2.1 * ceil(len(shown) / wide) + 0.3
    run = _most_shifted(of_first) if "run" in result.dims else None
    where = f", {run}: the run that shifted most" if run else ""
    caption = f"Density at each step on the {first} inputs, in shares of the densest bin; blank where there is none."
    draw = partial(_histograms, of_first, shown, run)
    figures.append(Panel("histogram", f"Histograms over the steps{where}", caption, (9.2, height), draw))
    figures.append(ends.panel(of_first, "layer", shown, f"activations on the {first} inputs"))
    if result.sizes["input"] > 1:
        runs = " Median of the runs that differ in their seed." if result.sizes.get("run", 1) > 1 else ""
        names = {"inputs": ("std", "Standard deviation by kind of inputs", "", "standard deviation")}
        if "ks_valid" in result:
            caption = "Kolmogorov–Smirnov distance of the activations from those on the valid inputs at the same step."
            names["ks_valid"] = (
                "ks_valid",
                "Distance between examples and noise",
                caption,
                "Kolmogorov–Smirnov distance",
            )
        for key, (name, title, caption, label) in names.items():
            draw = partial(_by_input, result, name, label, shown)
            figures.append(Panel(key, title, (caption + runs).strip(), (9.2, height), draw))
    return figures


def _shown(result: xr.Dataset) -> list[str]:
    """Choose layers through the depth of the network."""
    names = [str(name) for name in result["layer"].values]
    return [names[i] for i in np.unique(np.linspace(0, len(names) - 1, min(MOST, len(names))).round().astype(int))]


def _most_shifted(result: xr.Dataset) -> str:
    """Name the run whose activations are farthest from their start at some step."""
    shift = result["ks"].max([dim for dim in result["ks"].dims if dim != "run"])
    return str(result["run"].values[int(shift.fillna(0.0).argmax("run"))])


def _edges(result: xr.Dataset, **select: Any) -> np.ndarray:
    chosen = {dim: label for dim, label in select.items() if dim in result["bin_edges"].dims}
    return choose(result, "bin_edges", keep=("bin_edge",), **chosen).array.values


def _grid(shown: list[str], figure: Figure) -> list[Axes]:
    """Return axes for layers, three in a row; the lowest row labels the steps."""
    wide = min(len(shown), 3)
    axes = list(figure.subplots(ceil(len(shown) / wide), wide, squeeze=False, sharex=True).ravel())
    for ax in axes[len(shown) :]:
        ax.remove()
    return axes[: len(shown)]


def _finished(axes: list[Axes], shown: list[str], label: str) -> None:
    wide = min(len(shown), 3)
    for i, (ax, name) in enumerate(zip(axes, shown, strict=True)):
        lowest = i + wide >= len(shown)
        ax.set_title(shorten(name, 34))
        ax.set_xlabel("step" if lowest else "")
        ax.tick_params(labelbottom=lowest)
        ax.set_ylabel(label if i % wide == 0 else "")


def _histograms(result: xr.Dataset, shown: list[str], run: str | None, figure: Figure) -> None:
    axes = _grid(shown, figure)
    for ax, name in zip(axes, shown, strict=True):
        select = {"layer": name} | ({} if run is None else {"run": run})
        array = choose(result, "histogram", keep=("step", "bin"), **select).array
        densities(array, _edges(result, **select), ax, bar=False)
    _finished(axes, shown, "activation")
    if meshes := [mesh for ax in axes for mesh in ax.collections if isinstance(mesh, QuadMesh)]:
        density_bar(meshes[0], axes)


def _by_input(result: xr.Dataset, variable: str, label: str, shown: list[str], figure: Figure) -> None:
    """Draw lines over the steps for each kind of inputs, of several runs the median of each group of like ones."""
    array = recorded(result[variable])
    kinds = [str(kind) for kind in array["input"].values if bool(array.sel(input=kind).notnull().any())]
    parts = like(array)
    styles, legend = _styles(kinds, list(parts))
    axes = _grid(shown, figure)
    for ax, name in zip(axes, shown, strict=True):
        arrays = {key: part.sel(layer=name) for key, part in parts.items()}
        for (key, kind), style in styles.items():
            ax.plot(array["step"].values, arrays[key].sel(input=kind).values, **style)
        shown_values = xr.concat(list(arrays.values()), "part")
        log = spans_decades(shown_values.values)
        if log:
            ax.set_yscale("log")
        elif not (shown_values < 0).any():
            ax.set_ylim(bottom=0.0)
        value_axis(ax.yaxis, shown_values, log=log)
        ax.margins(x=0.01)
        step_axis(ax, array["step"].values)
    _finished(axes, shown, label)
    beside(axes[min(len(axes), 3) - 1], legend)


def like(array: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return the median over the runs of each group that differs in its seed only."""
    if "run" not in array.dims:
        return {"": array}
    return {name: typical(array.isel(run=positions)) for name, positions in groups(array).items()}


def _styles(kinds: list[str], names: list[str]) -> tuple[dict[tuple[str, str], dict[str, Any]], list[Line2D]]:
    """Choose a style for each group of runs and kind of inputs: colors tell groups, or of one group the kinds."""
    if len(names) == 1:
        styles: dict[tuple[str, str], dict[str, Any]] = {
            (names[0], kind): {"color": color} for kind, color in zip(kinds, CATEGORIES, strict=False)
        }
        return styles, [Line2D([], [], label=kind, **style) for (_, kind), style in styles.items()]
    colors, dashes = dict(zip(names, palette(len(names)), strict=True)), dict(zip(kinds, cycle(DASHES), strict=False))
    styles = {(n, k): {"color": colors[n], "linestyle": dashes[k], "linewidth": 1.1} for n in names for k in kinds}
    legend = [Line2D([], [], label=name, color=color) for name, color in colors.items()]
    return styles, legend + [Line2D([], [], label=kind, color=INK, linestyle=dashes[kind]) for kind in kinds]
