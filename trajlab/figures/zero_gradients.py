"""Figures of gradient entries near zero, and of how they pass into and out of that state."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.figures.default import default
from trajlab.figures.drift import by_cause
from trajlab.figures.marks import multiples
from trajlab.figures.marks.canvas import canvas, tall
from trajlab.figures.marks.colors import AXIS, CATEGORIES, ON_DARK, ON_LIGHT, PROBABILITIES
from trajlab.figures.marks.labels import step_axis
from trajlab.figures.marks.lines import beside, lines
from trajlab.figures.marks.selection import choose
from trajlab.figures.marks.thinning import thinned_band
from trajlab.figures.panel import Panel
from trajlab.statistics.studies import groups


def zero_gradients(
    result: xr.Dataset, *, ax: Axes | None = None, variable: str = "fraction_near_zero", **select: Any
) -> Axes:
    """Draw the share of near-zero gradients as a heat map; transitions as a table; causes as stacked bars.

    Parameters
    ----------
    result
        Result of the stage `zero_gradients`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable.
    select
        Which part of it, as in ``tau=1e-5``; by default the largest absolute threshold.
    """
    if variable in ("transitions", "total_transitions") and variable in result:
        return _table(result, variable, ax, **select)
    if variable in ("always_zero", "total_always_zero") and "parameter" in result.dims:
        return by_cause(result, "always_zero", "share of entries without any gradient", ax=ax, **select)
    return default(result, ax=ax, variable=variable, **select)


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    figures = []
    many = "parameter" in result.dims
    total = "total_" if many else ""
    if many:
        array, which = choose(result, "fraction_near_zero", keep=("run", "parameter", "step"))
        caption = f"Entries with {which}, from the input at the top."
        figures.append(multiples.panel("near_zero", "Share of gradient entries near zero", caption, array))
    array, which = choose(result, f"{total}fraction_near_zero", keep=("run", "step"))
    whole = ", whole network" if many else ""
    figures.append(Panel("total", f"Share near zero{whole}", f"{which}.", (9.2, 3.0), partial(_lines, array)))
    caption = (
        f"Share of all entries that enter near zero at a step (above) and that leave it (below), {which}; where both "
        "balance, entries pass through and are not stuck."
    )
    figures.append(Panel("flow", "Entering and leaving near zero", caption, (9.2, 3.0), partial(_flow, result, total)))
    caption = "Each row: states of its entries one recorded step later, over all steps."
    draw = partial(_tables, result, f"{total}transitions")
    figures.append(Panel("transitions", "Transitions between states", caption, (9.2, 2.7), draw))
    if many and bool((result["always_zero"] > 0).any()):
        caption = "Entries whose gradient was exactly zero at every recorded step, by what they have in common."
        height = tall(result.sizes["parameter"])
        figures.append(
            Panel("always_zero", "What never had a gradient", caption, (9.2, height), partial(_causes, result))
        )
    return figures


def _lines(array: xr.DataArray, figure: Figure) -> None:
    lines(array, figure.add_subplot())


def _causes(result: xr.Dataset, figure: Figure) -> None:
    zero_gradients(result, ax=figure.add_subplot(), variable="always_zero")


def _flow(result: xr.Dataset, total: str, figure: Figure) -> None:
    """Draw the shares captured and released at each step, above and below a line."""
    ax = figure.add_subplot()
    counted = choose(result, f"{total}transitions", keep=("step", "state_prev", "state_next")).array
    counted = counted.sum(["state_prev", "state_next"])
    for name, sign, color in (("captured", 1, CATEGORIES[0]), ("released", -1, CATEGORIES[1])):
        moved, title = choose(result, f"{total}{name}", keep=("step",))
        share = sign * moved / counted
        edges = (np.minimum(share.values, 0), np.maximum(share.values, 0))
        band = thinned_band(share["step"].values, *edges)
        ax.fill_between(*band, step="mid", color=color, alpha=0.75, lw=0, label=name)
    ax.axhline(0, color=AXIS, linewidth=0.8)
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * abs(value):.3g} %")
    ax.set_ylabel("share of entries")
    ax.set_title(title)
    ax.margins(x=0.01)
    step_axis(ax, counted["step"].values)
    beside(ax)


def _tables(result: xr.Dataset, variable: str, figure: Figure) -> None:
    """Draw a table for each of a few runs, or for the mean of each group of runs."""
    counts, which = choose(result, variable, keep=("run", "step", "state_prev", "state_next"))
    members = groups(counts) if "run" in counts.dims else {}
    parts = {name: counts.isel(run=at).sum("run") for name, at in members.items()}
    if len(parts) > 4 or "run" not in counts.dims:
        parts = {"all runs": counts.sum("run")} if parts else {"": counts}
    axes = figure.subplots(1, max(len(parts), 3), squeeze=False)[0]
    for ax, (name, part) in zip(axes, parts.items(), strict=False):
        _matrix(part.sum("step"), ax)
        ax.set_title(name or which)
    for ax in axes[len(parts) :]:
        ax.remove()


def _table(result: xr.Dataset, variable: str, ax: Axes | None, **select: Any) -> Axes:
    counts, title = choose(result, variable, keep=("step", "state_prev", "state_next"), **select)
    ax = canvas(ax, height=3.2, width=4.2)
    _matrix(counts.sum("step") if "step" in counts.dims else counts, ax)
    ax.set_title(title)
    return ax


def _matrix(counts: xr.DataArray, ax: Axes) -> None:
    """Draw the share of each state's entries that is in each state next."""
    counts = counts.transpose("state_prev", "state_next")
    shares = (counts / counts.sum("state_next")).values
    ax.imshow(np.nan_to_num(shares), cmap=PROBABILITIES, vmin=0, vmax=1)
    for i, row in enumerate(shares):
        for j, share in enumerate(row):
            words = "–" if np.isnan(share) else "< 1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"
            ax.text(
                j, i, words, ha="center", va="center", color=ON_DARK if share > 0.55 else ON_LIGHT, fontsize="small"
            )
    names = [str(name) for name in counts["state_prev"].values]
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    ax.set_xlabel("next")
    ax.set_ylabel("before")
    ax.spines[:].set_visible(False)
