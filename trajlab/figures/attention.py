"""Figures of attention: its entropy, reach and sinks by layer, and head by head."""

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
    "relative_entropy": "Entropy of attention",
    "first": "Attention to the first token",
    "distance": "Distance attended to",
}
AT_END = ("relative_entropy", "first")


def attention(result: xr.Dataset, *, ax: Axes | None = None, variable: str | None = None, **select: Any) -> Axes:
    """Draw the mean relative entropy of the heads of each layer as a heat map, or another variable.

    Parameters
    ----------
    result
        Result of the stage `attention`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable; with `layer` in `select`, its heads make the rows.
    select
        Which part of it.
    """
    variable = variable or "relative_entropy"
    if "head" not in result[variable].dims or select.get("head") is not None:
        return default(result, ax=ax, variable=variable, **select)
    if select.get("layer") is not None:
        chosen = choose(result, variable, keep=("step", "head"), **select)
        array = chosen.array.dropna("head", how="all")
        ax = canvas(ax, height=tall(array.sizes["head"]))
        heat(array.transpose("head", "step"), ax)
        ax.set_title(chosen.title)
        return ax
    means = result.assign({variable: _over_heads(result[variable])})
    return default(means, ax=ax, variable=variable, **select)


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    figures = []
    for name, title in OVER_STEPS.items():
        if not bool(result[name].notnull().any()):
            continue
        caption = "Mean of the heads of each layer, from the input at the top."
        if name == "first":
            caption += f" Uniform attention: {100 * float(result['uniform'].mean()):.1f} % on average."
        figures.append(multiples.panel(name, title, caption, _over_heads(result[name])))
    caption = "Left: entropy relative to uniform attention; right: share of the first token."
    caption += " Medians of the runs." if "run" in result.dims else ""
    size = (9.2, tall(result.sizes["layer"], least=1.6, most=7.0) + 0.4)
    figures.append(Panel("heads", "Each head at the end", caption, size, partial(_heads, result)))
    return figures


def _over_heads(array: xr.DataArray) -> xr.DataArray:
    return array.mean("head", keep_attrs=True)


def _heads(result: xr.Dataset, figure: Figure) -> None:
    axes = figure.subplots(1, len(AT_END), sharey=True)
    for ax, name in zip(axes, AT_END, strict=True):
        heat(typical(last(result[name])).transpose("layer", "head"), ax)
        ax.set_xlabel("head")
    axes[1].tick_params(labelleft=False)
    axes[1].set_ylabel("")
