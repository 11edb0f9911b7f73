"""Figures of when series changed, and of the series that changed most."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trajlab.figures.default import default
from trajlab.figures.marks.canvas import canvas, tall
from trajlab.figures.marks.colors import CATEGORIES, FAINT, GRID
from trajlab.figures.marks.labels import name_rows, shorten_to, step_axis, value_axis
from trajlab.figures.marks.lines import beside
from trajlab.figures.panel import Panel
from trajlab.statistics.studies import run_names
from trajlab.statistics.unusual import KINDS

MOST = 40
"""Series that the timeline shows."""

CLOSEST = 6
"""Series that are drawn as lines."""

MARKERS = dict(zip(KINDS[1:], "^s>Dx", strict=True))
WORDS = {"spike": "spike, comes back", "jump": "jump, stays", "slope": "slope", "spread": "spread",
         "nonfinite": "NaN or Inf"}  # fmt: skip


def change_points(result: xr.Dataset, *, ax: Axes | None = None, variable: str = "begins", **select: Any) -> Axes:
    """Draw when each series changed, and how.

    Parameters
    ----------
    result
        Result of the stage `change_points`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable.
    select
        Which part of it, as in ``run="adam-0"``. By default the changes of all runs.
    """
    if variable != "begins" or any(label is not None for dim, label in select.items() if dim != "run"):
        return default(result, ax=ax, variable=variable, **select)
    if select.get("run") is not None:
        result = result.isel(run=run_names(result).index(str(select["run"])))
    rows = _changed(result)[:MOST]
    ax = canvas(ax, height=tall(max(1, len(rows))))
    _timeline(result, rows, ax)
    return ax


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    rows, runs = _changed(result), " in any run" if result.sizes.get("run", 1) > 1 else ""
    if not len(rows):
        return []
    more = f" The {MOST} that deviate most, of {len(rows)}." if len(rows) > MOST else ""
    caption = f"Each mark is a change{runs}, the larger the further from the series' own past.{more}"
    size = (9.2, tall(min(len(rows), MOST)) + 0.5)
    figures = [Panel("begins", "What changed, and when", caption, size, partial(_whole, result))]
    shown = rows[:CLOSEST]
    caption = "The series that deviate most from their own past; marks are their changes."
    draw = partial(_closeups, result, shown)
    figures.append(Panel("series", "What changed most", caption, (9.2, 1.3 * len(shown) + 0.4), draw))
    return figures


def _flat(result: xr.Dataset, name: str) -> np.ndarray:
    """Return a variable of the changes, (series, run and change)."""
    values = result[name].transpose("series", ...).values
    return values.reshape(len(values), -1)


def _changed(result: xr.Dataset) -> np.ndarray:
    """Return the positions of the series that changed, the furthest from its own past first."""
    scores = np.fmax.reduce(np.abs(_flat(result, "score")), axis=1, initial=0.0)
    changed = np.flatnonzero(np.isfinite(_flat(result, "begins")).any(1))
    return changed[np.argsort(-np.nan_to_num(scores[changed], posinf=np.inf), kind="stable")]


def _whole(result: xr.Dataset, figure: Figure) -> None:
    change_points(result, ax=figure.add_subplot())


def _timeline(result: xr.Dataset, rows: np.ndarray, ax: Axes) -> None:
    rows = np.sort(rows)  # in the order of the network
    begins, kinds, scores = (_flat(result, name)[rows] for name in ("begins", "kind", "score"))
    sizes = 14.0 + 60.0 * np.clip(np.log10(np.maximum(np.abs(np.nan_to_num(scores, posinf=1e3)), 1.0)) / 3.0, 0.0, 1.0)
    for code, marker in enumerate(MARKERS.values(), start=1):
        row, at = np.nonzero((kinds == code) & np.isfinite(begins))
        color = CATEGORIES[code - 1]
        ax.scatter(begins[row, at], row, s=sizes[row, at], marker=marker, color=color, alpha=0.8, zorder=3)
    ax.set_ylim(max(1, len(rows)) - 0.5, -0.5)
    ax.hlines(np.arange(len(rows)), *result["step"].values[[0, -1]], color=GRID, linewidth=0.5)
    name_rows(ax, [str(name) for name in result["series"].values[rows]])
    step_axis(ax, result["step"].values)
    present = {int(code) for code in kinds[np.isfinite(begins)]}
    beside(ax, [_key(kind) for code, kind in enumerate(MARKERS, start=1) if code in present])


def _key(kind: str) -> Line2D:
    color = CATEGORIES[KINDS.index(kind) - 1]
    return Line2D([], [], linestyle="", marker=MARKERS[kind], color=color, label=WORDS[kind])


def _closeups(result: xr.Dataset, rows: np.ndarray, figure: Figure) -> None:
    axes = np.ravel(figure.subplots(len(rows), 1, sharex=True))
    runs = run_names(result)
    for row, ax in zip(rows, axes, strict=True):
        scores = np.nan_to_num(np.abs(result["score"].isel(series=row)), posinf=np.inf)
        run = int(np.unravel_index(np.argmax(scores), scores.shape)[0]) if runs else 0
        of_run = result.isel(series=row, run=run) if runs else result.isel(series=row)
        _closeup(of_run, ax)
        ax.set_title(shorten_to(ax, f"{result['series'].values[row]}{f' in {runs[run]}' if runs else ''}"))
    step_axis(axes[-1], result["step"].values)


def _closeup(series: xr.Dataset, ax: Axes) -> None:
    steps, values = series["step"].values, series["value"].values
    is_known = np.isfinite(values)
    positive = values[is_known & (values > 0)]
    if positive.size and values[is_known].min() >= 0:
        ax.set_yscale("log")
        values = np.maximum(values, positive.min())  # zeros lie at the bottom
    ax.plot(steps[is_known], values[is_known], color=FAINT, linewidth=0.9)
    value_axis(ax.yaxis, series["value"], log=ax.get_yscale() == "log")
    for begin, code in zip(series["begins"].values, series["kind"].values, strict=True):
        if np.isfinite(begin):
            at = int(np.argmin(np.abs(np.where(is_known, steps, np.inf) - begin)))
            kind = KINDS[int(code)]
            ax.plot(steps[at], values[at], MARKERS[kind], color=CATEGORIES[int(code) - 1], markersize=5)
