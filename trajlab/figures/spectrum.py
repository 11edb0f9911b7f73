"""Figures of singular values against noise, of ranks and of tails."""

from functools import partial
from math import ceil
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from trajlab.figures.default import default
from trajlab.figures.marks import multiples
from trajlab.figures.marks.canvas import canvas
from trajlab.figures.marks.colors import CATEGORIES, MISSING
from trajlab.figures.marks.labels import shorten, step_axis
from trajlab.figures.marks.lines import beside, lines
from trajlab.figures.marks.selection import choose, recorded
from trajlab.figures.marks.thinning import thinned_band, thinned_line
from trajlab.figures.panel import Panel

MOST = 9
"""Matrices whose singular values the report shows."""

MOST_LINES = 40
"""Singular values that are drawn of a matrix, the largest all and the others evenly."""

NOISE = "that of the same entries shuffled"

ENOUGH = 20
"""Singular values from which on the tail of a matrix is worth a look."""


REACH = 0.1
"""Shares of noise's effective rank that the colors reach at least on both sides of it."""


def spectrum(result: xr.Dataset, *, ax: Axes | None = None, variable: str = "singular_values", **select: Any) -> Axes:
    """Draw singular values over the steps against the range of noise, all else as heat maps and lines.

    Parameters
    ----------
    result
        Result of the stage `spectrum`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable.
    select
        Which part of it, as in ``parameter="fc1.weight"``; by default the first matrix of the first run.
    """
    if variable != "singular_values":
        return default(result, ax=ax, variable=variable, **select)
    if "run" in result.dims and select.get("run") is None:
        select["run"] = result["run"].values[0]
    ax = canvas(ax)
    title = _values(result, ax, **select)
    beside(ax, _legend())
    ax.set_title(title)
    return ax


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    rank, of = _relative_rank(result)
    caption = (
        "A line is a singular value, gray the range of noise (Marchenko–Pastur), and dashed what noise hardly ever "
        "exceeds. Orange: beyond that at the end."
    )
    if "parameter" not in result.dims:
        draw = partial(_alone, result)
        figures = [Panel("singular_values", "Singular values and the range of noise", caption, (9.2, 3.4), draw)]
        for key, title in (("effective_rank", "Effective rank"), ("alpha", "Exponent of the tail")):
            figures.append(Panel(key, title, "", (9.2, 3.0), partial(_lines, result[key])))
        return figures
    shown = _shown(result)
    run = _most_learned(result) if "run" in result.dims else None
    where = f", {run}: the run with most beyond noise" if run else ""
    height = 2.1 * ceil(len(shown) / min(len(shown), 3)) + 0.3
    draw = partial(_grid, result, shown, run)
    figures = [Panel("singular_values", f"Singular values and the range of noise{where}", caption, (9.2, height), draw)]
    means = (
        "1 says no more than noise, less is structure" if of == NOISE else "1 is all directions evenly, noise is less"
    )
    caption = f"exp(entropy of s/Σs) in shares of {of}: {means}."
    center = 1.0 if of == NOISE else None
    figures.append(multiples.panel("effective_rank", "Effective rank", caption, rank, center=center, reach=REACH))
    caption = "Singular values that noise of the same variance would hardly ever show."
    figures.append(multiples.panel("mp_spikes", "Singular values beyond noise", caption, result["mp_spikes"]))
    if "row_overlap" in result and bool(result["row_overlap"].notnull().any()):
        caption = (
            "Overlap of the left singular vectors of the largest singular values with those of the step before: 1 says "
            "that the main directions stay, random ones overlap by k / rows."
        )
        stays = result["row_overlap"].isel(step=slice(1, None))
        figures.append(multiples.panel("row_overlap", "Overlap of the main directions", caption, stays))
    alpha, left_out = _long(result)
    caption = "Of the largest eigenvalues of WᵀW: the smaller, the heavier the tail; 2 to 6 is usual after training."
    caption += f" Left out: {left_out} with less than {ENOUGH} singular values." if left_out else ""
    figures.append(multiples.panel("alpha", "Exponent of the tail", caption, alpha))
    return figures


def _relative_rank(result: xr.Dataset) -> tuple[xr.DataArray, str]:
    """Return effective ranks in shares of those of the shuffled entries, or of the largest possible."""
    rank = result["effective_rank"]
    if "effective_rank_null" in result:
        share, of = rank / result["effective_rank_null"], NOISE
    else:
        share, of = rank / np.minimum(result["rows"], result["columns"]), "the largest possible"
    return share.assign_attrs(long_name=f"effective rank, in shares of {of}", units="1"), of


def _long(result: xr.Dataset) -> tuple[xr.DataArray, int]:
    """Return the exponents of matrices with many singular values, unless there are none, and count the others.

    A matrix may be larger in some runs than in others, whose exponents are NaN then.
    """
    enough = (result["rows"] >= ENOUGH) & (result["columns"] >= ENOUGH)
    if not enough.any():
        return result["alpha"], 0
    somewhere = (enough.any("run") if "run" in enough.dims else enough).values
    return result["alpha"].where(enough).isel(parameter=np.flatnonzero(somewhere)), int((~somewhere).sum())


def _most_learned(result: xr.Dataset) -> str:
    """Name the run with most singular values beyond noise."""
    return str(result["run"].values[int(result["mp_spikes"].max("step").sum("parameter").argmax("run"))])


def _shown(result: xr.Dataset) -> list[str]:
    """Choose matrices through the depth of the network."""
    names = [str(name) for name in result["parameter"].values]
    evenly = np.unique(np.linspace(0, len(names) - 1, min(MOST, len(names))).round().astype(int))
    return [names[i] for i in evenly]


def _values(result: xr.Dataset, ax: Axes, **select: Any) -> str:
    """Draw the singular values of one matrix, and say which it is."""
    values, title = choose(result, "singular_values", keep=("step", "component"), **select)
    values = recorded(values).transpose("component", "step")
    steps = values["step"].values
    low, high, threshold, spikes = (
        choose(result, name, keep=("step",), **select).array.sel(step=steps).values
        for name in ("mp_lower", "mp_upper", "mp_threshold", "mp_spikes")
    )
    marker: dict[str, Any] = {"marker": "o", "markersize": 3} if len(steps) == 1 else {}
    ax.fill_between(*thinned_band(steps, low, high), color=MISSING, linewidth=0, zorder=0)
    ax.plot(*thinned_line(steps, threshold), color=CATEGORIES[7], linestyle="--", linewidth=0.9)
    rows = values.values[np.isfinite(values.values).any(axis=1)]
    finite = spikes[np.isfinite(spikes)]
    beyond = int(finite[-1]) if len(finite) else 0
    for i in _ranks(len(rows)):
        color = CATEGORIES[1] if i < beyond else CATEGORIES[0]
        ax.plot(*thinned_line(steps, rows[i]), color=color, linewidth=1.0 if i < beyond else 0.6, **marker)
    ax.set_ylim(bottom=0.0)
    ax.set_ylabel("singular value [weight]")
    ax.margins(x=0.01)
    step_axis(ax, steps)
    return title


def _ranks(count: int) -> list[int]:
    """Choose which singular values are drawn."""
    if count <= MOST_LINES:
        return list(range(count))
    largest = MOST_LINES // 3
    others = np.linspace(largest, count - 1, MOST_LINES - largest).round().astype(int)
    return [*range(largest), *others.tolist()]


def _legend() -> list[Any]:
    return [
        Line2D([], [], color=CATEGORIES[1], label="beyond noise at the end"),
        Line2D([], [], color=CATEGORIES[0], linewidth=0.6, label="other singular values"),
        Line2D([], [], color=CATEGORIES[7], linestyle="--", linewidth=0.9, label="most that noise shows"),
        Patch(color=MISSING, label="range of noise"),
    ]


def _grid(result: xr.Dataset, shown: list[str], run: str | None, figure: Figure) -> None:
    wide = min(len(shown), 3)
    axes = figure.subplots(ceil(len(shown) / wide), wide, squeeze=False, sharex=True).ravel()
    for ax in axes[len(shown) :]:
        ax.remove()
    for i, (ax, name) in enumerate(zip(axes, shown, strict=False)):
        _values(result, ax, parameter=name, **({} if run is None else {"run": run}))
        ax.set_title(shorten(name, 34))
        ax.set_xlabel("step" if i + wide >= len(shown) else "")
        ax.tick_params(labelbottom=i + wide >= len(shown))
        ax.set_ylabel("singular value [weight]" if i % wide == 0 else "")
    figure.legend(handles=_legend(), loc="outside lower center", ncols=4, frameon=False)


def _alone(result: xr.Dataset, figure: Figure) -> None:
    spectrum(result, ax=figure.add_subplot())


def _lines(array: xr.DataArray, figure: Figure) -> None:
    lines(array, figure.add_subplot())
