"""Figures of the optimizer's state: size of its updates, effective learning rates, and moments without gradient."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.figures.default import default
from trajlab.figures.drift import known_rows
from trajlab.figures.marks import multiples
from trajlab.figures.marks.colors import AXIS
from trajlab.figures.marks.lines import lines
from trajlab.figures.marks.selection import recorded
from trajlab.figures.panel import Panel

EXPECTED = 1.0
"""Size of a gradient in units of its second moment if gradients are stationary."""


def optimizer_state(
    result: xr.Dataset, *, ax: Axes | None = None, variable: str = "update_ratio", **select: Any
) -> Axes:
    """Draw the size of the last update of each layer, relative to its weights, as a heat map.

    Parameters
    ----------
    result
        Result of the stage `optimizer_state`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable; of the effective learning rate by default the median.
    select
        Which part of it, as in ``quantile=0.95``.
    """
    if variable == "effective_lr" and "quantile" not in select and variable in result:
        select["quantile"] = float(result["quantile"].values[median(result)])
    return default(result, ax=ax, variable=variable, **select)


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    caption = "lr |m̂ / (√v̂ + ε)| / |w| of Adam, lr |b| / |w| of SGD, without weight decay."
    array = known_rows(result["update_ratio"])[0]
    figures = [multiples.panel("update", "Last update relative to the weights", caption, array)]
    caption = "1 if all gradients of an entry agree; near 0 where the first moment averages noise away."
    array = known_rows(result["direction_rms"])[0]
    figures.append(multiples.panel("direction", "RMS of the update per learning rate", caption, array))
    rates = result["effective_lr"].isel(quantile=median(result), drop=True)
    if bool(rates.notnull().any()):
        caption = f"Over the entries of each tensor, the {quantile_in_words(result)} of lr / (√v̂ + ε)."
        figures.append(multiples.panel("rate", "Effective learning rate", caption, known_rows(rates)[0]))
    if bool(result["total_gradient_rms"].notnull().any()):
        caption = (
            "About 1 where gradients are as large as those before; above 2 second moments are out of date, and updates "
            "too large."
        )
        draw = partial(_lines, result["total_gradient_rms"])
        figures.append(Panel("gradient", "Gradient in units of the second moment", caption, (9.2, 3.0), draw))
    for key, name, title, caption in (
        ("zero", "zero_moments", "Entries without any gradient so far", "Both moments are exactly 0."),
        ("fading", "fading", "Entries without a gradient since the snapshot before", "Second moments only faded."),
    ):
        if bool((result[name] > 0).any()):
            figures.append(multiples.panel(key, title, caption, known_rows(result[name])[0]))
    return figures


def median(result: xr.Dataset) -> int:
    """Return the position of the quantile that is nearest to the median."""
    return int(np.abs(result["quantile"].values - 0.5).argmin())


def quantile_in_words(result: xr.Dataset) -> str:
    """Return the quantile that is nearest to the median in words."""
    level = float(result["quantile"].values[median(result)])
    return "median" if level == 0.5 else f"{100 * level:g} % quantile"


def _lines(array: xr.DataArray, figure: Figure) -> None:
    ax = figure.add_subplot()
    lines(recorded(array), ax)
    ax.axhline(EXPECTED, color=AXIS, linewidth=0.8, zorder=0)
