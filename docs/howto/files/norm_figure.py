"""Figures of norms."""

from functools import partial
from typing import Any

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.figures.default import default
from trajlab.figures.marks.canvas import canvas
from trajlab.figures.panel import Panel


def norm(result: xr.Dataset, *, ax: Axes | None = None, variable: str = "norm", **select: Any) -> Axes:
    """Draw the norms over the steps, on a logarithmic axis.

    Parameters
    ----------
    result
        Result of the stage `norm`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable.
    select
        Which part of it, as in ``parameter="fc.weight"``.
    """
    if variable != "norm":
        return default(result, ax=ax, variable=variable, **select)
    ax = canvas(ax)
    array = result["norm"].sel(select)
    for name in array["parameter"].values:
        ax.plot(array["step"], array.sel(parameter=name).transpose("step", ...), label=str(name))
    ax.set(yscale="log", xlabel="step", title="norm of each tensor")
    ax.legend()
    return ax


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    return [Panel("norm", "Norms", "Σ|w|ᵖ of each tensor, to the power 1/p.", (9.2, 3.2), partial(_draw, result))]


def _draw(result: xr.Dataset, figure: Figure) -> None:
    norm(result, ax=figure.add_subplot())
