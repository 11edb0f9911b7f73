"""Figures of saturated values and units."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.figures.default import default
from trajlab.figures.marks import multiples
from trajlab.figures.marks.canvas import canvas, tall
from trajlab.figures.marks.heat import heat
from trajlab.figures.marks.lines import lines
from trajlab.figures.marks.selection import choose, recorded
from trajlab.figures.panel import Panel

MOST = 8
"""Largest number of layers drawn as lines."""


def saturation(result: xr.Dataset, *, ax: Axes | None = None, variable: str | None = None, **select: Any) -> Axes:
    """Draw the share of saturated values as a heat map of layers, or `saturated` as one of the units of a layer.

    Parameters
    ----------
    result
        Result of the stage `saturation`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable.
    select
        Which part of it; units are those of the layer and run with the most saturated ones by default.
    """
    if variable == "saturated" and "layer" in result.dims:
        return _units(result, ax, **select)
    return default(result, ax=ax, variable=variable or "fraction_saturated", **select)


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    share = result["fraction_saturated"]
    caption = f"What counts: {_rules(result)}."
    figures = [multiples.panel("fraction_saturated", "Saturated values of each layer", caption, share)]
    if result.sizes["layer"] <= MOST:
        runs = result.sizes.get("run", 1)
        caption = f"Mean of {runs} runs." if runs > 1 else ""
        figures.append(Panel("layers", "Saturated values over the steps", caption, (9.2, 3.0), partial(_lines, share)))
    whole = result["fraction_units_saturated"]
    if bool((whole > 0).any()):
        caption = f"Units that are saturated at {100 * result.attrs['min_share']:g} % of the positions or more."
        figures.append(multiples.panel("units", "Units that are saturated almost everywhere", caption, whole))
    if bool(result["saturated"].notnull().any()):
        caption = "Each row is a unit, the most saturated at the end first; the run and layer with the most of them."
        figures.append(Panel("saturated", "Saturation of the units", caption, (9.2, 4.2), partial(_alone, result)))
    return figures


def _rules(result: xr.Dataset) -> str:
    """Report what counts in which layers."""
    rules = result["rule"].isel(run=0, missing_dims="ignore").values.tolist()
    named = dict.fromkeys(rule for rule in rules if rule not in ("none", ""))
    if len(named) == 1 and "none" not in rules:
        return next(iter(named))
    layers = result["layer"].values.tolist()
    parts = [
        f"{rule} ({', '.join(n for n, rule_of in zip(layers, rules, strict=True) if rule_of == rule)})"
        for rule in named
    ]
    return "; ".join(parts) or "nothing, as no layer has a rule"


def _lines(share: xr.DataArray, figure: Figure) -> None:
    array = share.mean("run", keep_attrs=True) if "run" in share.dims else share
    lines(array.transpose("step", "layer"), figure.add_subplot())


def _alone(result: xr.Dataset, figure: Figure) -> None:
    _units(result, figure.add_subplot())


def _units(result: xr.Dataset, ax: Axes | None, **select: Any) -> Axes:
    share = result["saturated"].mean("unit").max("step")
    where = np.unravel_index(int(np.nanargmax(share.fillna(-1.0).values)), share.shape)
    most = {str(dim): share[dim].values[i] for dim, i in zip(share.dims, where, strict=True)}
    chosen = choose(result, "saturated", keep=("step", "unit"), **(most | select))
    array = recorded(chosen.array)
    array = array.isel(unit=np.flatnonzero(array.notnull().any("step").values))
    order = np.argsort(-array.isel(step=-1).fillna(-1.0).values, kind="stable")
    ax = canvas(ax, height=tall(array.sizes["unit"]))
    heat(array.isel(unit=order).assign_coords(unit=order.astype(str).astype(object)).transpose("unit", "step"), ax)
    ax.set_title(chosen.title)
    return ax
