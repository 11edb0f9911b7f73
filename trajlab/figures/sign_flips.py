"""Figures of the sign flips of gradients and weights."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trajlab.errors import BadSetting
from trajlab.figures.default import default
from trajlab.figures.marks import multiples
from trajlab.figures.marks.canvas import canvas, tall
from trajlab.figures.marks.colors import CELLS, FAINT, INK, SEQUENTIAL
from trajlab.figures.marks.heat import color_bar, heat
from trajlab.figures.marks.labels import name_rows
from trajlab.figures.marks.lines import beside, lines
from trajlab.figures.marks.raster import raster
from trajlab.figures.marks.scale import Scale, scale_for
from trajlab.figures.marks.selection import choose, recorded
from trajlab.figures.panel import Panel
from trajlab.statistics.studies import groups

COIN = 0.5

FINE = 60
"""Columns of heat maps of extrema, which at single steps jump about; of more steps rolling means are drawn."""

SMOOTH = 20
"""Points of a line of flip rates, which at single steps jump about; of more steps rolling means are drawn."""


def sign_flips(result: xr.Dataset, *, ax: Axes | None = None, variable: str | None = None, **select: Any) -> Axes:
    """Draw flip rates as a heat map about those of a coin, or the signs of single entries as a raster.

    Parameters
    ----------
    result
        Result of the stage `sign_flips`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable; by default `flip_rate`, or `weight_flip_rate` of a run without gradients.
    select
        Which part of it. The raster shows the first run by default, of all parameters or of one.
    """
    variable = variable or ("flip_rate" if "flip_rate" in result else "weight_flip_rate")
    if variable == "sign_map" and "sign_map" in result:
        return _signs(result, ax, **select)
    if variable.removeprefix("total_") in ("flip_rate", "flip_rate_retained") and variable in result:
        return _rates(result, variable, ax, **select)
    return default(result, ax=ax, variable=variable, **select)


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    figures = []
    many = "parameter" in result.dims
    total = "total_" if many else ""
    if "flip_rate" in result:
        if many:
            array = recorded(result["flip_rate"])
            caption = "Blue: signs persist; white: a fair coin's 50 %; red: signs alternate."
            title = "Share of gradient entries that changed sign"
            figures.append(multiples.panel("flip_rate", title, caption, array, center=COIN))
        caption = "Against a fair coin, and an AR(1) process with the measured correlation of successive gradients."
        draw = partial(_alone, result, f"{total}flip_rate")
        figures.append(Panel("total", "Flip rate of the whole network, against chance", caption, (9.2, 3.0), draw))
    if "minima_rate" in result and bool(result["minima_rate"].notnull().any()):
        caption = (
            "Share of entries at which the weight passed a minimum or a maximum of the loss along its own axis, by "
            "the secant of gradient and weight."
        )
        height = tall(result.sizes["parameter"]) + 0.4 if many else 3.0
        draw = partial(_extrema, result)
        figures.append(Panel("extrema", "Minima and maxima passed, in each layer", caption, (9.2, height), draw))
    if "sign_map" in result:
        chosen = choose(result, "sign_map", keep=("step", "entry"), **_fullest(result))
        caption = f"A few entries of each parameter ({chosen.title}); blank where the gradient is larger."
        draw = partial(_alone, result, "sign_map", **_fullest(result))
        figures.append(Panel("sign_map", "Signs of single entries near zero", caption, (9.2, 5.4), draw))
    if "weight_flip_rate" in result:
        if many:
            array = recorded(result["weight_flip_rate"])
            caption = "Share of weights whose sign is not what it was at the snapshot before."
            figures.append(multiples.panel("weight_flips", "Weights that changed sign", caption, array))
        else:
            draw = partial(_alone, result, "weight_flip_rate")
            figures.append(Panel("weight_flips", "Weights that changed sign", "", (9.2, 3.0), draw))
    return figures


def _alone(result: xr.Dataset, name: str, figure: Figure, **select: Any) -> None:
    sign_flips(result, ax=figure.add_subplot(), variable=name, **select)


def _fullest(result: xr.Dataset) -> dict[str, Any]:
    """Choose the threshold that shows the most entries, and the first run."""
    is_known = result["sign_map"].notnull()
    counts = is_known.sum([dim for dim in is_known.dims if dim != "tau"])
    first = {"run": result["run"].values[0]} if "run" in result.dims else {}
    return first | {"tau": float(counts["tau"].values[int(counts.argmax("tau"))])}


def _rates(result: xr.Dataset, variable: str, ax: Axes | None, **select: Any) -> Axes:
    if "parameter" in result[variable].dims and select.get("parameter") is None:
        array, title = choose(result, variable, keep=("parameter", "step"), **select)
        ax = canvas(ax, height=tall(array.sizes["parameter"]))
        heat(array, ax, scale=scale_for(array, center=COIN))
        ax.set_title(title)
        return ax
    array, title = choose(result, variable, keep=("run", "step"), **select)
    array = recorded(array)
    over = max(1, array.sizes["step"] // SMOOTH)
    if over > 1:
        title = ", ".join(filter(None, [title, f"mean over {over} recorded steps"]))
    ax = canvas(ax)
    drawn = lines(_smooth(array, over), ax)
    legend = ax.get_legend()
    chance = [ax.axhline(COIN, color=INK, linewidth=1.0, linestyle=(0, (1, 2)), label="fair coin")]
    process = f"{variable}_ar1"
    if process in result:
        expected = recorded(choose(result, process, keep=("run", "step"), **select).array)
        colors = [line.get_color() for line in drawn]
        chance += _process(_smooth(expected, over), colors, ax)
    beside(ax, [*(legend.legend_handles if legend else []), *chance])
    top = np.nanmax(array.values) if np.isfinite(array.values).any() else COIN
    ax.set_ylim(0.0, max(0.6, min(1.0, 1.08 * float(top))))
    ax.set_title(title)
    return ax


def _process(expected: xr.DataArray, colors: list[Any], ax: Axes) -> list[Line2D]:
    """Draw what an AR(1) process gives: for each group of runs that differ in their seed only, in its color."""
    members = groups(expected) if "run" in expected.dims else {}
    if len(members) < 2:
        mean, words = (expected.mean("run"), "AR(1), mean of runs") if members else (expected, "AR(1)")
        return ax.plot(mean["step"].values, mean.values, color=FAINT, linewidth=1.0, label=words)
    style: dict[str, Any] = {"linewidth": 0.9, "linestyle": (0, (4, 1.5))}
    for at in members.values():
        mean = expected.isel(run=at).mean("run")
        ax.plot(mean["step"].values, mean.values, color=colors[at[0]], alpha=0.7, **style)
    return [Line2D([], [], color=INK, label="AR(1), mean of seeds", **style)]


def _smooth(array: xr.DataArray, over: int) -> xr.DataArray:
    smoothed = array.rolling(step=over, center=True, min_periods=1).mean() if over > 1 else array
    return smoothed.assign_attrs(array.attrs)


def _extrema(result: xr.Dataset, figure: Figure) -> None:
    """Draw the rates of minima and maxima side by side, on one scale."""
    rates = [choose(result, name, keep=("step", "parameter")) for name in ("minima_rate", "maxima_rate")]
    over = max(1, recorded(rates[0].array).sizes["step"] // FINE)
    arrays = [_smooth(recorded(array), over) for array, _ in rates]
    if "parameter" not in result.dims:
        ax = figure.add_subplot()
        both = xr.concat(arrays, xr.Variable("extremum", ["minima", "maxima"]), combine_attrs="override")
        lines(both, ax)
        return
    scale = Scale(Normalize(0.0, float(max(array.max() for array in arrays)) or 1.0), SEQUENTIAL)
    axes = figure.subplots(1, 2, sharey=True)
    mean = f"mean over {over} recorded steps" if over > 1 else ""
    for ax, array, words in zip(axes, arrays, ("minima", "maxima"), strict=True):
        mesh = heat(array.transpose("parameter", "step"), ax, scale=scale, bar=False)
        ax.set_title(", ".join(filter(None, [words, rates[0].title, mean])))
    axes[1].tick_params(labelleft=False)
    color_bar(mesh, list(axes), arrays[0].assign_attrs(long_name="share of gradient entries", share=True), scale)


def _signs(result: xr.Dataset, ax: Axes | None, **select: Any) -> Axes:
    if "run" in result.dims and select.get("run") is None:
        select["run"] = result["run"].values[0]
    layer = select.pop("parameter", None)
    signs, title = choose(result, "sign_map", keep=("step", "entry"), **select)
    signs = signs.sel(step=recorded(result["flip_rate"])["step"]).transpose("entry", "step")
    of, entries = signs["parameter_of"].values, signs["index_of"].values
    sections = [str(name) for name in of]
    if layer is not None:
        if layer not in of:
            names = ", ".join(dict.fromkeys(sections))
            raise BadSetting(f"cannot draw parameter={layer!r}: the sign map holds {names}; choose one of these.")
        signs = signs.isel(entry=np.flatnonzero(of == layer))
        sections, title = [], f"{layer}, {title}"
    ax = canvas(ax, height=5.0)
    raster(
        signs.values + 1.0, signs["step"].values, ax, colors=(CELLS["blue"], CELLS["gray"], CELLS["orange"]),
        names=("negative", "zero", "positive"), sections=sections, ground_name="larger, or unknown",
    )  # fmt: skip
    if layer is not None:
        name_rows(ax, [f"{entry}" for entry in entries[of == layer]])
        ax.set_ylabel("entry of the flat tensor")
    ax.set_title(title)
    return ax
