"""Figures of the routing of a mixture of experts: load, certainty, and similarity of experts."""

from functools import partial
from typing import Any

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.figures.default import default
from trajlab.figures.marks import multiples
from trajlab.figures.marks.canvas import canvas, tall
from trajlab.figures.marks.heat import heat
from trajlab.figures.marks.selection import choose
from trajlab.figures.panel import Panel
from trajlab.statistics.extremes import last, typical

OVER_STEPS = {
    "load_entropy": ("Evenness of the load", "1: all experts get as many tokens. 0: one gets all."),
    "relative_entropy": ("Entropy of the router", "Relative to even probabilities; mean over the tokens."),
    "similarity": ("Similarity of experts", "Mean cosine of the weights of each two experts."),
}


def routing(result: xr.Dataset, *, ax: Axes | None = None, variable: str | None = None, **select: Any) -> Axes:
    """Draw the evenness of the load of each layer as a heat map, or another variable.

    Parameters
    ----------
    result
        Result of the stage `routing`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable; that of experts is drawn by step for one layer, the first unless `select` names another.
    select
        Which part of it.
    """
    variable = variable or "load_entropy"
    if variable in result and "expert" in result[variable].dims and select.get("expert") is None:
        chosen = choose(result, variable, keep=("step", "expert"), **select)
        array = chosen.array.dropna("expert", how="all")
        ax = canvas(ax, height=tall(array.sizes["expert"]))
        heat(array.transpose("expert", "step"), ax)
        ax.set_title(chosen.title)
        return ax
    return default(result, ax=ax, variable=variable, **select)


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    figures = [
        multiples.panel(name, title, caption, result[name])
        for name, (title, caption) in OVER_STEPS.items()
        if bool(result[name].notnull().any())
    ]
    caption = "Share of the choices of all tokens."
    caption += " Median of the runs." if "run" in result.dims else ""
    size = (9.2, tall(result.sizes["layer"], least=1.6, most=7.0) + 0.4)
    return [*figures, Panel("load", "Load of each expert at the end", caption, size, partial(_load, result))]


def _load(result: xr.Dataset, figure: Figure) -> None:
    ax = figure.subplots()
    heat(typical(last(result["expert_load"])).transpose("layer", "expert"), ax)
    ax.set_xlabel("expert")
