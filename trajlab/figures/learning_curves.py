"""Figures of loss, learning rate, gradient norm and scores as training logged them."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.errors import MissingData
from trajlab.figures.default import default
from trajlab.figures.marks.canvas import canvas
from trajlab.figures.marks.colors import CATEGORIES
from trajlab.figures.marks.lines import beside, finish, is_log, lines
from trajlab.figures.marks.selection import choose, recorded
from trajlab.figures.panel import Panel
from trajlab.statistics.wording import listed

LOSSES = ("training loss", "validation loss")
RATES = ("learning rate", "gradient norm")
SCORES = ("score",)
SIZE = (9.2, 3.0)
FEW = 12
"""Values up to which a metric is drawn as logged, with points."""

FAINT_LINE: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.35}


def learning_curves(result: xr.Dataset, *, ax: Axes | None = None, variable: str | None = None, **select: Any) -> Axes:
    """Draw the losses: of one run as logged and smoothed, of several the smoothed training loss of each.

    Parameters
    ----------
    result
        Result of the stage `learning_curves`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable; with `metric` the one metric that is drawn.
    select
        Which part of it, as in ``metric="grad_norm"``.
    """
    if variable is not None or select.get("metric") is not None:
        return default(result, ax=ax, variable=variable or "value", **select)
    ax = canvas(ax)
    names = of_role(result, *LOSSES) or [str(name) for name in result["metric"].values[:1]]
    if not names:
        raise MissingData("cannot draw learning_curves: the result has no metric; record with recorder.step(loss=...)")
    _curves(_chosen(result, names, select), ax)
    return ax


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    figures = []
    smoothing = float(result.attrs.get("smoothing", 0.0))
    average = f"moving average (β = {smoothing:g})"
    lines_are = f"The faint line is as logged, the other its {average}."
    if "run" in result.dims:
        lines_are = f"Lines are its {average}, of few values the values themselves."
    for key, title, roles in (("loss", "Loss", LOSSES), ("rate", "", RATES), ("score", "Scores", SCORES)):
        names = of_role(result, *roles)
        if names:
            caption = f"Logged as {listed(names)}." + (f" {lines_are}" if smoothing and key != "rate" else "")
            title = title or " and ".join(role for role in roles if of_role(result, role)).capitalize()
            figures.append(Panel(key, title, caption, SIZE, partial(_panel, result, names, key)))
    return figures


def of_role(result: xr.Dataset, *roles: str) -> list[str]:
    """Return the metrics of some roles that have any value."""
    known = result["value"].notnull().any([dim for dim in result["value"].dims if dim != "metric"])
    return [
        str(name)
        for role in roles
        for name, of, any_value in zip(result["metric"].values, _roles(result), known.values, strict=True)
        if of == role and any_value
    ]


def _roles(result: xr.Dataset) -> np.ndarray:
    roles = result["role"]
    return roles.values if roles.ndim == 1 else roles.isel(run=0).values


def _chosen(result: xr.Dataset, names: list[str], select: dict[str, Any]) -> xr.Dataset:
    return result.sel(metric=names, **select)


def _panel(result: xr.Dataset, names: list[str], key: str, figure: Figure) -> None:
    """Draw metrics of one run in one picture, those of several runs, or of unlike size, side by side."""
    if "run" not in result.dims and key != "rate":
        _curves(result.sel(metric=names), figure.add_subplot())
        return
    axes = figure.subplots(1, min(len(names), 2), squeeze=False)[0]
    for ax, name in zip(axes, names, strict=False):
        if "run" not in result.dims:
            _curves(result.sel(metric=[name]), ax, smooth=False)
            continue
        rare = result["value"].sel(metric=name).notnull().any("run").sum() <= FEW
        array, _ = choose(result, "value" if key == "rate" or rare else "smoothed", keep=("run", "step"), metric=name)
        lines(recorded(array.assign_attrs(long_name=name, units="1")), ax)
        if ax is not axes[-1] and ax.get_legend() is not None:
            ax.get_legend().remove()


def _curves(result: xr.Dataset, ax: Axes, *, smooth: bool = True) -> None:
    """Draw metrics of one run, or of the first of several, each as logged and smoothed."""
    result = result.isel(run=0, drop=True) if "run" in result.dims else result
    values = recorded(
        result["value"].assign_attrs(long_name=" and ".join(map(str, result["metric"].values)), units="1")
    )
    log = is_log(values)
    for i, name in enumerate(result["metric"].values):
        color = CATEGORIES[i % len(CATEGORIES)]
        known = result.sel(metric=name).dropna("step", subset=["value"])
        steps, raw = known["step"].values, known["value"].values
        marker: dict[str, Any] = {"marker": "o", "markersize": 4} if len(steps) <= FEW else {}
        if smooth and len(steps) > FEW:
            ax.plot(steps, raw, color=color, **FAINT_LINE)
            raw = known["smoothed"].values
        ax.plot(steps, raw, color=color, label=str(name), **marker)
    finish(values, ax, log)
    if result.sizes["metric"] > 1:
        beside(ax)
