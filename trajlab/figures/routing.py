"""Figures of the routing of a mixture of experts: load, entropy of the router, and similarity of experts."""

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
    "load_entropy": ("Evenness of the load", "1: all experts get the same number of tokens. 0: one expert gets all."),
    "relative_entropy": (
        "Entropy of the router",
        "Relative to the entropy of even probabilities; mean over the tokens.",
    ),
    "similarity": ("Similarity of experts", "Mean cosine between the weights of two experts, over all pairs."),
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
        Which variable. One with a dim `expert` is drawn as experts by steps of one layer, by default the first; at one
        step, as layers by experts.
    select
        Which part of it.
    """
    variable = variable or "load_entropy"
    free = {dim for dim in ("step", "expert") if select.get(dim) is None}
    if variable in result and free == {"step", "expert"} <= set(result[variable].dims):
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
    caption = "Share of all choices that fall on the expert."
    caption += " Median of the runs." if "run" in result.dims else ""
    size = (9.2, tall(result.sizes["layer"], least=1.6, most=7.0) + 0.4)
    return [*figures, Panel("load", "Load of each expert at the end", caption, size, partial(_load, result))]


def _load(result: xr.Dataset, figure: Figure) -> None:
    ax = figure.subplots()
    heat(typical(last(result["expert_load"])).transpose("layer", "expert"), ax)
    ax.set_xlabel("expert")
