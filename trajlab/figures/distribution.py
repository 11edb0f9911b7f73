"""Figures of the distribution of values, and of how it shifts."""

from functools import partial
from math import ceil
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.errors import BadSetting
from trajlab.figures.default import default
from trajlab.figures.drift import known_rows
from trajlab.figures.marks import by_change, ends, multiples
from trajlab.figures.marks.canvas import canvas
from trajlab.figures.marks.densities import densities, density_bar
from trajlab.figures.marks.ends import COLUMNS, ENDS, alone
from trajlab.figures.marks.histograms import histograms
from trajlab.figures.marks.labels import shorten
from trajlab.figures.marks.lines import beside, lines
from trajlab.figures.marks.quantile_fan import quantile_fan
from trajlab.figures.marks.selection import choose, recorded
from trajlab.figures.panel import Frames, Panel
from trajlab.statistics.extremes import large
from trajlab.statistics.result import reference_name
from trajlab.statistics.shown_steps import evenly
from trajlab.statistics.wording import count

MOST = 9
"""Parameters whose values the report shows."""


def distribution(result: xr.Dataset, *, ax: Axes | None = None, variable: str = "quantiles", **select: Any) -> Axes:
    """Draw quantiles as a fan, the histogram as densities over the steps, all else as heat maps and lines.

    Parameters
    ----------
    result
        Result of the stage `distribution`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable; `first_and_last` are the histograms of the first and the last step, of several layers and kinds
        of runs. `histogram_changed` and `histogram_unchanged` are drawn together, by default at the last step.
    select
        Which part of it, as in ``parameter="fc1.weight"``; by default the first parameter of the first run.
    """
    if variable == ENDS:
        return alone(result, "parameter", _ends_shown(result), ax)
    if variable in by_change.GROUPS:
        return _split(result, ax, **select)
    if variable not in ("quantiles", "histogram"):
        return default(result, ax=ax, variable=variable, **select)
    if "run" in result.dims and select.get("run") is None:
        select["run"] = result["run"].values[0]
    last = "quantile" if variable == "quantiles" else "bin"
    array, title = choose(result, variable, keep=("step", last), **select)
    ax = canvas(ax)
    if variable == "quantiles":
        quantile_fan(array, ax)
        beside(ax)
    else:
        densities(array, _edges(result, **select), ax)
    ax.set_title(title)
    return ax


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    figures = []
    if "parameter" in result.dims:
        for key, title, caption in (
            ("std", "Standard deviation", "Of the values of each layer, from the input at the top."),
            (
                "ks",
                f"Shift from {reference_name(result.attrs)}",
                "Kolmogorov–Smirnov distance: 0 for equal distributions, 1 for disjoint ones.",
            ),
        ):
            array, left_out = known_rows(result[key].where(_varied(result)) if key == "ks" else result[key])
            caption += f" Left out: {left_out} whose values were all equal at first." if left_out else ""
            figures.append(multiples.panel(key, title, caption, array))
        shown = _shown(result)
        height = 2.1 * ceil(len(shown) / _wide(len(shown))) + 0.3
        run = _most_shifted(result) if "run" in result.dims else None
        where = f", {run}: the run that shifted most" if run else ""
        caption = "Bands hold the middle 50, 90 and 98 % of the entries; the line is the median."
        draw = partial(_grid, result, "quantiles", shown, run)
        figures.append(Panel("quantiles", f"Quantiles of the values{where}", caption, (9.2, height), draw))
        caption = "Density of the values at each step, in shares of the densest bin; blank where there are none."
        draw = partial(_grid, result, "histogram", shown, run)
        figures.append(Panel("histogram", f"Histograms over the steps{where}", caption, (9.2, height), draw))
        figures.append(ends.panel(result, "parameter", shown, "values"))
        return [*figures, _changed_panel(result, run)] if by_change.GROUPS[0] in result else figures
    for key, title in (("quantiles", "Quantiles of the values"), ("histogram", "Histograms over the steps")):
        figures.append(Panel(key, title, "", (9.2, 3.4), partial(_alone, result, key)))
    figures.append(
        Panel("ks", f"Shift from {reference_name(result.attrs)}", "", (9.2, 3.0), partial(_lines, result["ks"]))
    )
    return figures


def frames(
    result: xr.Dataset, *, variable: str = "histogram", parameter: str | None = None, run: str | None = None
) -> Frames:
    """Return the histograms of each step, over the outlines of those at the first.

    Parameters
    ----------
    result
        Result of the stage `distribution`.
    variable
        Which variable; `histogram` moves.
    parameter
        A single parameter; by default some through the depth of the network.
    run
        The run; by default the one that shifted most.
    """
    if variable != "histogram":
        raise BadSetting(f"cannot animate {variable!r}: only histogram can be; leave the variable out.")
    many = "parameter" in result.dims
    if run is None and "run" in result.dims:
        run = _most_shifted(result) if many else str(result["run"].values[0])
    counts = recorded(choose(result, "histogram", keep=("parameter", "step", "bin"), run=run).array)
    parts = {}
    for name in _shown(result) if many and parameter is None else [parameter]:
        chosen = choose(counts.to_dataset(name="histogram"), "histogram", keep=("step", "bin"), parameter=name).array
        parts[name or ""] = chosen.transpose("step", "bin").values, _edges(result, parameter=name, run=run)
    return histograms(parts, counts["step"].values, columns=_wide(len(parts)), title=run or "")


def _ends_shown(result: xr.Dataset) -> list[str]:
    """Choose the parameters whose first and last histograms are shown."""
    shown = _shown(result) if "parameter" in result.dims else [str(result.attrs.get("parameter", ""))]
    return [shown[i] for i in evenly(len(shown), COLUMNS)]


def _varied(result: xr.Dataset) -> xr.DataArray:
    """Return which parameters had more than one value at the first step."""
    return recorded(result["std"]).isel(step=0, drop=True) > 0


def _most_shifted(result: xr.Dataset) -> str:
    """Name the run whose values are farthest from their start at some step, constants and tiny tensors aside."""
    shift = large(result["ks"].where(_varied(result)))
    return str(result["run"].values[int(shift.max(["step", "parameter"]).fillna(0.0).argmax("run"))])


def _shown(result: xr.Dataset) -> list[str]:
    """Choose parameters through the depth of the network, matrices before biases."""
    names = [str(name) for name in result["parameter"].values]
    kind_of = result["kind"].isel(run=0, missing_dims="ignore").values if "kind" in result.coords else [""] * len(names)
    kinds = [str(kind) for kind in kind_of]
    matrices = [name for name, kind in zip(names, kinds, strict=True) if kind not in ("bias", "norm")] or names
    positions = np.unique(np.linspace(0, len(matrices) - 1, min(MOST, len(matrices))).round().astype(int))
    return [matrices[i] for i in positions]


def _wide(count: int) -> int:
    return 4 if count in (4, 7, 8) else min(count, 3)


def _grid(result: xr.Dataset, variable: str, shown: list[str], run: str | None, figure: Figure) -> None:
    wide = _wide(len(shown))
    axes = figure.subplots(ceil(len(shown) / wide), wide, squeeze=False, sharex=True).ravel()
    for ax in axes[len(shown) :]:
        ax.remove()
    for i, (ax, name) in enumerate(zip(axes, shown, strict=False)):
        select = {"parameter": name} | ({} if run is None else {"run": run})
        if variable == "quantiles":
            quantile_fan(choose(result, variable, keep=("step", "quantile"), **select).array, ax)
        else:
            array = choose(result, variable, keep=("step", "bin"), **select).array
            densities(array, _edges(result, **select), ax, bar=False)
        ax.set_title(shorten(name, 34))
        ax.set_xlabel("step" if i + wide >= len(shown) else "")
        ax.tick_params(labelbottom=i + wide >= len(shown))
        ax.set_ylabel("value" if i % wide == 0 else "")
    used = list(axes[: len(shown)])
    if variable == "quantiles":
        beside(used[min(wide, len(used)) - 1], used[0].get_legend_handles_labels()[0])
    elif meshes := [mesh for ax in used for mesh in ax.collections]:
        density_bar(meshes[0], used)


def _split(result: xr.Dataset, ax: Axes | None, **select: Any) -> Axes:
    """Draw the entries that changed and those that did not, of one parameter of one run at one step.

    Raises
    ------
    BadSetting
        The result has no such histograms, or no such label.
    """
    if by_change.GROUPS[0] not in result:
        raise BadSetting(
            "cannot draw changed entries: the result has no histogram of them; compute distribution with --changed "
            "(changed=True in Python)"
        )
    if "run" in result.dims and select.get("run") is None:
        select["run"] = result["run"].values[0]
    if select.get("step") is None:
        select["step"] = recorded(result[by_change.GROUPS[0]])["step"].values[-1]
    parts = {name: choose(result, name, keep=("bin",), **select) for name in by_change.GROUPS}
    ax = canvas(ax)
    chosen = xr.Dataset({name: part.array.drop_vars("bin", errors="ignore") for name, part in parts.items()})
    edges = {dim: label for dim, label in select.items() if dim != "step"}
    by_change.by_change(chosen.assign(bin_edges=("bin_edge", _edges(result, **edges))), ax)
    by_change.legend_beside(ax)
    ax.set_title(parts[by_change.GROUPS[0]].title)
    return ax


def _changed_panel(result: xr.Dataset, run: str | None) -> Panel:
    """Return the figure of changed and unchanged entries at the last step.

    Parameters of which all or no entries changed are left out, unless all are.
    """
    part = result if run is None else result.sel(run=run)
    part = part.sel(step=recorded(part[by_change.GROUPS[0]])["step"].values[-1])
    both = by_change.mixed(part)
    some = part.isel(parameter=np.flatnonzero(both)) if both.any() else part
    shown = _shown(some)
    caption = (
        f"Density of the values whose bits differ from {reference_name(result.attrs)} (filled) and of those that are "
        f"the same (line), at step {int(part['step']):,}{f' of {run}' if run else ''}."
    )
    if both.any() and not both.all():
        caption += f" Left out: {count(int((~both).sum()), 'parameter')} whose entries all changed or all stayed."
    draw = partial(by_change.grid, part, shown)
    return Panel("changed", "Changed and unchanged entries", caption, (9.2, by_change.height(len(shown))), draw)


def _alone(result: xr.Dataset, variable: str, figure: Figure) -> None:
    distribution(result, ax=figure.add_subplot(), variable=variable)


def _lines(array: xr.DataArray, figure: Figure) -> None:
    lines(array, figure.add_subplot())


def _edges(result: xr.Dataset, **select: Any) -> np.ndarray:
    chosen = {dim: label for dim, label in select.items() if dim in result["bin_edges"].dims}
    return choose(result, "bin_edges", keep=("bin_edge",), **chosen).array.values
