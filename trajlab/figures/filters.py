"""Figures of filters as images."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from trajlab.errors import BadSetting
from trajlab.figures.default import default
from trajlab.figures.marks import multiples
from trajlab.figures.marks.canvas import canvas
from trajlab.figures.marks.colors import GRID
from trajlab.figures.marks.image_grid import extent, gray_bar, mosaic
from trajlab.figures.marks.labels import shorten
from trajlab.figures.marks.lines import lines
from trajlab.figures.marks.selection import moment, parameter_of
from trajlab.figures.panel import Frames, Panel
from trajlab.statistics.shown_steps import evenly
from trajlab.statistics.studies import run_labels, run_names
from trajlab.statistics.wording import listed

MOMENTS = 4
"""Steps that the report shows side by side; of wide mosaics half as many."""

WIDE = 1.7
"""Width over height from which a mosaic is wide."""

INCH, LEAST = 100, 3
"""Pixels of the page in an inch, and those that a weight takes at least."""

MOST = 3
"""Runs that the report shows one below the other."""


def filters(
    result: xr.Dataset, *, ax: Axes | None = None, variable: str = "kernel", parameter: str | None = None, **select: Any
) -> Axes:
    """Draw the filters as a mosaic: gray, in color if they have three channels, else a column for each filter.

    Parameters
    ----------
    result
        Result of the stage `filters`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable.
    parameter
        The layer; a result holds that of one.
    select
        Which part of it, as in ``step=100``; by default the last step of the first run.
    """
    layer = parameter_of(result, parameter)
    if variable != "kernel":
        return default(result, ax=ax, variable=variable, **select)
    at, title = moment(result, **select)
    ax = canvas(ax, height=4.6)
    _mosaic(at, ax)
    _bar(at, [ax])
    ax.set_title(f"{layer}, {title}")
    return ax


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    layer, channels = result.attrs.get("parameter", ""), result.sizes["channel"]
    whole, result = result, _fitting(result)
    tall, wide = extent(result["kernel"].shape[-4:], _in_color(result))
    height = min(8.0 / len(_shown(result)) * tall / wide + 0.25, 4.5) * min(result.sizes.get("run", 1), MOST) + 0.3
    how = f" Each column is a filter, each row one of its {channels} channels."
    how = "" if channels == 1 else " Channels are red, green and blue; zero is gray." if _in_color(result) else how
    scale = "On one scale at all steps" + (", one for each run" if "run" in result.dims else "")
    caption = f"{scale}, symmetric about zero.{how}"
    if "matrix" in result.attrs:
        caption += f" Outputs by inputs, {' × '.join(map(str, result.attrs['matrix']))}."
    count = max(whole.sizes["filter"], int(result.attrs.get("filters", 0)))
    left = {"filter": (result.sizes["filter"], count), "channel": (result.sizes["channel"], channels)}
    shown = [f"the first {few} of {all_of} {name}s" for name, (few, all_of) in left.items() if few < all_of]
    caption += f" T{listed(shown)[1:]}." if shown else ""
    what = "Matrix" if "matrix" in result.attrs else "Filters of"
    figures = [Panel("kernel", f"{what} {layer}", caption, (9.2, height), partial(_moments, result))]
    if result.sizes["step"] > 1:
        caption = f"|k_t − k_0|₂ / |k_0|₂ for each filter k of {layer}, k_0 at step {int(result['step'][0]):,}."
        array = whole["relative"].transpose(..., "filter", "step")
        figures.append(multiples.panel("relative", "Relative distance of each filter", caption, array))
        if bool(whole["neighbor_correlation"].notnull().any()):
            caption = "Of weights side by side or one above the other, in all filters shown and all of their channels. "
            caption += "Noise lies in the gray band in 95 % of cases."
            draw = partial(_neighbors, whole)
            figures.append(Panel("neighbors", "Correlation of neighboring weights", caption, (9.2, 2.8), draw))
    return figures


def frames(result: xr.Dataset, *, variable: str = "kernel", **select: Any) -> Frames:
    """Return the mosaic of each step.

    Parameters
    ----------
    result
        Result of the stage `filters`.
    variable
        Which variable; `kernel` moves.
    select
        Which part of it.
    """
    if variable != "kernel":
        raise BadSetting(f"cannot animate {variable!r}: only kernel can be; leave the variable out.")
    steps = result["step"].values

    def draw(figure: Figure, position: int) -> None:
        filters(result, ax=figure.add_subplot(), **(select | {"step": steps[position]}))

    tall, wide = extent(result["kernel"].shape[-4:], _in_color(result))
    return Frames(steps, (5.2, min(max(4.2 * tall / wide, 2.0), 6.0) + 0.4), draw)


def _mosaic(at: xr.Dataset, ax: Axes) -> None:
    mosaic(at["kernel"].transpose("filter", "channel", "y", "x").values, _limit(at), ax, _in_color(at))


def _in_color(result: xr.Dataset) -> bool:
    """Return whether channels are red, green and blue."""
    return result.sizes["channel"] == 3 and bool(result.attrs.get("color", 1))


def _bar(at: xr.Dataset, axes: list[Axes]) -> None:
    if not _in_color(at):
        gray_bar(axes, _limit(at), "weight")


def _fitting(result: xr.Dataset) -> xr.Dataset:
    """Return as many of the filters, and of channels that are rows, as leave each weight a few pixels of the page."""
    room = 8.0 * INCH / len(_shown(result)) / LEAST
    most = max(1, int(room / (result.sizes["x"] + 0.5)))
    if result.sizes["channel"] == 1 or _in_color(result):
        return result.isel(filter=slice(most**2))
    return result.isel(filter=slice(most), channel=slice(max(most, 4)))


def _shown(result: xr.Dataset) -> np.ndarray:
    """Return the steps that the report shows."""
    tall, wide = extent(result["kernel"].shape[-4:], _in_color(result))
    return result["step"].values[evenly(result.sizes["step"], MOMENTS // 2 if wide > WIDE * tall else MOMENTS)]


def _limit(at: xr.Dataset) -> float:
    """Return the weight that is white, at all steps of a run."""
    limit = float(at["limit"])
    return limit if np.isfinite(limit) and limit > 0 else 1.0


def _moments(result: xr.Dataset, figure: Figure) -> None:
    """Draw a few steps side by side, and a few runs one below the other."""
    steps = _shown(result)
    shown = evenly(result.sizes["run"], MOST) if "run" in result.dims else []
    runs: list[str | None] = [run_names(result)[i] for i in shown] or [None]
    grid = figure.subplots(len(runs), len(steps), squeeze=False)
    names = [run_labels(result)[i] for i in shown] or [""]
    for row, run, name in zip(grid, runs, names, strict=True):
        for ax, step in zip(row, steps, strict=True):
            _mosaic(moment(result, step=step, run=run)[0], ax)
            ax.set_title(f"{shorten(name)}, step {step:,}" if name and ax is row[0] else f"step {step:,}")
        _bar(moment(result, run=run)[0], list(row))
    if isinstance(layout := figure.get_layout_engine(), ConstrainedLayoutEngine):
        layout.set(wspace=0.08)


def _neighbors(result: xr.Dataset, figure: Figure) -> None:
    ax = figure.add_subplot()
    noise = float(result["neighbor_noise"].max())
    ax.axhspan(-noise, noise, color=GRID, linewidth=0)
    lines(result["neighbor_correlation"], ax)
