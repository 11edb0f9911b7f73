"""Figures of the rules that fire, where and when."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.figures.default import default
from trajlab.figures.marks.canvas import canvas, tall
from trajlab.figures.marks.colors import CALM, CELLS, PAPER
from trajlab.figures.marks.heat import heat
from trajlab.figures.marks.raster import raster
from trajlab.figures.marks.selection import choose
from trajlab.figures.panel import Panel
from trajlab.statistics.studies import run_names

MOST = 40
"""Places that one figure shows."""

STATES = ("quiet", "fires")
COLORS = (CALM, CELLS["orange"])


def alerts(result: xr.Dataset, *, ax: Axes | None = None, variable: str = "fires", **select: Any) -> Axes:
    """Draw which rules fire somewhere at which steps.

    Parameters
    ----------
    result
        Result of the stage `alerts`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable.
    select
        Which part of it, as in ``run="adam-0"``. By default a rule fires where it does in any run.
    """
    if variable != "fires" or any(label is not None for dim, label in select.items() if dim != "run"):
        return default(result, ax=ax, variable=variable, **select)
    fires, title = choose(result, variable, keep=("run", "step", "check"), **select)
    ax = canvas(ax, height=tall(result.sizes["rule"]))
    rules = [str(rule) for rule in result["rule"].values]
    rows = [_any(fires.isel(check=np.flatnonzero(fires["rule_of"].values == rule))) for rule in rules]
    _draw(np.stack(rows), fires["step"].values, rules, ax)
    runs = fires.sizes.get("run", 1)
    ax.set_title(", ".join(filter(None, [title, f"any of {runs} runs" if runs > 1 else ""])))
    return ax


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    runs = " in any run" if result.sizes.get("run", 1) > 1 else ""
    caption = f"Orange where a rule fires somewhere{runs}; blank where it was not checked."
    height = tall(result.sizes["rule"])
    figures = [Panel("rules", "Which rules fire, and when", caption, (9.2, height), partial(_rules, result))]
    checks = _fired_checks(result)
    if checks.size:
        more = f" The first {MOST} of {checks.size}." if checks.size > MOST else ""
        caption = f"Every place at which a rule fires{runs}, by rule.{more}"
        height = tall(min(checks.size, MOST))
        figures.append(
            Panel("places", "Where they fire", caption, (9.2, height), partial(_where, result, checks[:MOST]))
        )
    if len(run_names(result)) > 1:
        caption = "Number of places at which a rule fires."
        height = tall(result.sizes["run"])
        figures.append(Panel("runs", "Alerts of each run", caption, (9.2, height + 1.4), partial(_runs, result)))
    return figures


def _any(fires: xr.DataArray) -> np.ndarray:
    """Return for each step whether anything fires, (step); NaN where nothing was checked."""
    values = fires.transpose("step", ...).values.reshape(fires.sizes["step"], -1)
    return np.fmax.reduce(values, axis=1) if values.shape[1] else np.full(len(values), np.nan)


def _fired_checks(result: xr.Dataset) -> np.ndarray:
    fires = result["fires"].transpose("check", ...).values.reshape(result.sizes["check"], -1)
    return np.flatnonzero((fires == 1).any(1))


def _rules(result: xr.Dataset, figure: Figure) -> None:
    alerts(result, ax=figure.add_subplot())


def _where(result: xr.Dataset, checks: np.ndarray, figure: Figure) -> None:
    rows = [_any(result["fires"].isel(check=[i])) for i in checks]
    _draw(np.stack(rows), result["step"].values, [str(result["check"].values[i]) for i in checks], figure.add_subplot())


def _runs(result: xr.Dataset, figure: Figure) -> None:
    ax = figure.add_subplot()
    heat(result["fired"].where(result["checked"] > 0).transpose("run", "rule"), ax)
    names = [str(rule) for rule in result["rule"].values]
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right")
    ax.set_xlabel("")


def _draw(rows: np.ndarray, steps: np.ndarray, names: list[str], ax: Axes) -> None:
    shown = np.stack([_lasting(row, steps) for row in rows])
    raster(shown, steps, ax, colors=COLORS, names=STATES, sections=names, ground=PAPER)


def _lasting(states: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Let what was found last until it is checked again, and what was found last for as long as the check before."""
    checked = np.flatnonzero(np.isfinite(states))
    if not checked.size:
        return states
    last = np.maximum.accumulate(np.where(np.isfinite(states), np.arange(states.size), -1))
    filled = np.where(last >= 0, states[last], np.nan)
    gap = steps[checked[-1]] - steps[checked[-2]] if checked.size > 1 else 0
    return np.where(steps < steps[checked[-1]] + max(gap, 1), filled, np.nan)
