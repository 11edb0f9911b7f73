"""Figures of the residual stream: size, outliers and rank of hidden states, and the logit lens."""

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

BLOCKS = "Rows: the hidden state that enters the first block, then those after each block."
OVER_STEPS = {
    "lens_loss": ("Loss by the logit lens", "The last norm and output layer applied to each hidden state."),
    "norm": ("Norm of hidden states", "Mean over the tokens."),
    "massive_ratio": ("Largest hidden value over the median", "Max over the sequences of max |h| / median |h|."),
    "kurtosis": ("Outlier dimensions", "Excess kurtosis over the units, mean over the tokens; 0 for Gaussian units."),
    "effective_rank": ("Effective rank of hidden states", "Effective number of directions that the tokens span."),
}  # fmt: skip


def residual_stream(result: xr.Dataset, *, ax: Axes | None = None, variable: str | None = None, **select: Any) -> Axes:
    """Draw the norm of hidden states as a heat map of layers by steps, or another variable.

    Parameters
    ----------
    result
        Result of the stage `residual_stream`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable. `position_norm` is drawn as layers by positions at one step, by default the last; of one layer,
        as positions by steps.
    select
        Which part of it.
    """
    variable = variable or "norm"
    free = {dim for dim in ("layer", "position") if select.get(dim) is None}
    if variable in result and free == {"layer", "position"} <= set(result[variable].dims):
        step = select.pop("step", None)
        step = result["step"].values[-1] if step is None else step
        chosen = choose(result, variable, keep=("layer", "position"), step=step, **select)
        ax = canvas(ax, height=tall(chosen.array.sizes.get("layer", 1)))
        heat(chosen.array.transpose("layer", "position"), ax)
        ax.set_title(chosen.title)
        return ax
    return default(result, ax=ax, variable=variable, **select)


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    figures = [
        multiples.panel(name, title, f"{caption} {BLOCKS}", result[name])
        for name, (title, caption) in OVER_STEPS.items()
        if name in result and bool(result[name].notnull().any())
    ]
    caption = "Mean over the samples."
    caption += " Median of the runs." if "run" in result.dims else ""
    size = (9.2, tall(result.sizes["layer"], least=1.6, most=7.0) + 0.4)
    title = "Norm of hidden states by position at the end"
    return [*figures, Panel("position_norm", title, caption, size, partial(_positions, result))]


def _positions(result: xr.Dataset, figure: Figure) -> None:
    ax = figure.subplots()
    heat(typical(last(result["position_norm"])).transpose("layer", "position"), ax)
    ax.set_xlabel("position")
