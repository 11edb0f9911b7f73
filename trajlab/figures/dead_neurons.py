"""Figures of dead units: shares, lives and survival."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trajlab.figures.default import default
from trajlab.figures.marks import multiples
from trajlab.figures.marks.canvas import canvas
from trajlab.figures.marks.colors import AXIS, CALM, CATEGORIES, CELLS, PAPER
from trajlab.figures.marks.labels import name_rows, step_axis
from trajlab.figures.marks.lines import beside, lines
from trajlab.figures.marks.raster import raster
from trajlab.figures.marks.selection import choose, recorded
from trajlab.figures.panel import Panel

STATES = {"active": CALM, "dormant": CELLS["sky"], "nearly dead": CELLS["yellow"], "dead": CELLS["orange"]}
"""States of a unit and their colors; of several that hold the last one is shown."""

LIFE = ("dead", "near_dead", "dormant")

LINES = 80
"""Units whose lives are drawn apart from each other at most."""


def dead_neurons(result: xr.Dataset, *, ax: Axes | None = None, variable: str | None = None, **select: Any) -> Axes:
    """Draw the share of dead units as a heat map, or the life of each unit of a layer as a line.

    Parameters
    ----------
    result
        Result of the stage `dead_neurons`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable; by default `fraction_dead`, or without activations `fraction_gradient_dead`. `dead` draws the
        lives of units.
    select
        Which part of it; lives are those of the layer and run with the most dead units by default.
    """
    variable = variable or share_variable(result)
    if variable == "dead" and "dead" in result and "unit" in result.dims:
        return _lives(result, ax, **select)
    return default(result, ax=ax, variable=variable, **select)


def share_variable(result: xr.Dataset) -> str:
    """Name the best known share of dead units: from activations, else from gradients, else from weights."""
    names = ("fraction_dead", "fraction_gradient_dead", "fraction_weight_static")
    return next((name for name in names if name in result), names[0])


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    figures = []
    share = share_variable(result)
    if "layer" in result.dims:
        array = recorded(result[share])
        caption = f"{str(array.attrs.get('long_name', share)).capitalize()}, from the input at the top."
        figures.append(multiples.panel(share, "Dead units of each layer", caption, array))
    total = f"total_{share}" if f"total_{share}" in result else share
    if "layer" not in result[total].dims:
        figures.append(
            Panel("total", "Dead units of the whole network", "", (9.2, 3.0), partial(_lines, result, total))
        )
    died = "total_died" if "total_died" in result else "died"
    if died in result and bool((result[died] > 0).any()):
        caption = "Units that died since the snapshot before (below), and that became active or revived (above)."
        figures.append(Panel("turnover", "Dying and reviving", caption, (9.2, 2.8), partial(_turnover, result, died)))
    if "dead" in result and "unit" in result.dims:
        caption = (
            "Each row is a unit that was ever dead on the probe, by its first death, those dead from the start above; "
            "the run and layer with the most dead units."
        )
        figures.append(Panel("lives", "Lives of the units", caption, (9.2, 4.6), partial(_alone, result)))
    if "survival" in result:
        caption = "Units yet to die for the first time (Kaplan–Meier); each counts from when it is first active."
        figures.append(Panel("survival", "Survival of the units", caption, (9.2, 3.0), partial(_survival, result)))
    return figures


def most_dead(result: xr.Dataset) -> dict[str, Any]:
    """Choose the run and layer in which the most units were dead at once."""
    counts = result["dead"].sum("unit").max("step")
    where = np.unravel_index(int(np.argmax(counts.values)), counts.shape)
    return {str(dim): counts[dim].values[i] for dim, i in zip(counts.dims, where, strict=True)}


def _lines(result: xr.Dataset, name: str, figure: Figure) -> None:
    lines(result[name], figure.add_subplot())


def _alone(result: xr.Dataset, figure: Figure) -> None:
    dead_neurons(result, ax=figure.add_subplot(), variable="dead")


def _lives(result: xr.Dataset, ax: Axes | None, **select: Any) -> Axes:
    """Draw a line for each unit that was ever dead, sorted by the first death; for all units if none was."""
    select = most_dead(result) | {dim: label for dim, label in select.items() if label is not None}
    chosen = {name: choose(result, name, keep=("step", "unit"), **select) for name in LIFE if name in result}
    dead = recorded(chosen["dead"].array).transpose("unit", "step")
    dead = dead.assign_coords(unit=dead["unit"].values if "unit" in dead.coords else np.arange(dead.sizes["unit"]))
    units = np.flatnonzero(dead.notnull().any("step").values)
    ever = np.flatnonzero((dead > 0).any("step").values)
    dead = dead.isel(unit=_by_first_death(dead.values, ever if len(ever) else units))
    codes = xr.zeros_like(dead)
    for code, name in enumerate(reversed(LIFE), start=1):
        if name in chosen:
            state = chosen[name].array.transpose("unit", "step").sel(step=dead["step"])
            codes = codes.where(~(state.isel(unit=dead["unit"].values).values > 0), code)
    codes = codes.where(dead.notnull() & (codes > 0))
    ax = canvas(ax, height=4.6)
    raster(codes.values, dead["step"].values, ax, colors=list(STATES.values()), names=list(STATES), ground=CALM)
    if len(dead) <= LINES:
        ax.hlines(np.arange(len(dead) + 1) - 0.5, *ax.get_xlim(), color=PAPER, linewidth=0.8)
    name_rows(ax, list(map(str, dead["unit"].values)))
    ax.set_ylabel("unit, by its first death" if len(ever) else "unit")
    ax.set_title(f"{chosen['dead'].title}, {len(ever)} of {len(units)} units ever dead")
    return ax


def _by_first_death(dead: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Sort units: dead from the start first, those the longest so above, then by their first death."""
    first = [np.argmax(dead[unit] == 1) for unit in units]
    return units[np.lexsort([-np.nansum(dead[units], axis=1), first])]


def _survival(result: xr.Dataset, figure: Figure) -> None:
    """Draw the survival of each run, or of each layer of a single one."""
    several = result.sizes.get("run", 1) > 1
    array = result["total_survival" if several else "survival"]
    ax = figure.add_subplot()
    for line in lines(array if several else array.isel(run=0, missing_dims="ignore"), ax):
        line.set_drawstyle("steps-post")
    ax.set_ylim(0.0, 1.02)


def _turnover(result: xr.Dataset, died: str, figure: Figure) -> None:
    ax = figure.add_subplot()
    names = [
        died,
        *[died.replace("died", name) for name in ("revived", "born") if died.replace("died", name) in result],
    ]
    bottom: Any = 0.0
    for name, color in zip(names, (CATEGORIES[1], CATEGORIES[0], CATEGORIES[5]), strict=False):
        array = result[name]
        counts = recorded(array.sum([dim for dim in array.dims if dim not in ("step", "run")]))
        counts = counts.sum("run") if "run" in counts.dims else counts
        values = counts.values * (-1 if name == died else 1)
        steps = counts["step"].values
        width = np.diff(steps).min() * 0.9 if len(steps) > 1 else 0.8
        label = name.removeprefix("total_").replace("born", "first active")
        ax.bar(steps, values, width, bottom=0.0 if name == died else bottom, color=color, label=label)
        bottom = bottom if name == died else bottom + values
    ax.axhline(0, color=AXIS, linewidth=0.8)
    ax.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.margins(y=0.06)
    ax.set_ylabel("units")
    runs = result.sizes.get("run", 1)
    ax.set_title(f"sum of {runs} runs" if runs > 1 else "")
    step_axis(ax, recorded(result[died])["step"].values)
    beside(ax)
