"""Figures of how far each tensor moved."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.figures.default import default
from trajlab.figures.marks import multiples
from trajlab.figures.marks.bands import bands, caption
from trajlab.figures.marks.bars import stacked
from trajlab.figures.marks.canvas import canvas, tall
from trajlab.figures.marks.selection import choose
from trajlab.figures.panel import Panel
from trajlab.statistics.extremes import Extreme, in_run, most_unmoved
from trajlab.statistics.result import is_from_start, reference_name
from trajlab.statistics.shared_steps import stride_where
from trajlab.statistics.wording import count


def drift(result: xr.Dataset, *, ax: Axes | None = None, variable: str = "relative", **select: Any) -> Axes:
    """Draw how far each layer moved, as a heat map; the causes of what never moved as stacked bars.

    Parameters
    ----------
    result
        Result of the stage `drift`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable.
    select
        Which part of it.
    """
    if variable in ("unchanged_cause", "total_unchanged_cause") and "parameter" in result.dims:
        return by_cause(result, "unchanged_cause", "share of entries that never changed", ax=ax, **select)
    if variable == "relative" and "parameter" in result.dims and select.get("parameter") is None:
        array, left_out = from_somewhere(result)
        result = array.to_dataset()
        ax = default(result, ax=ax, variable=variable, **select)
        if left_out:
            which = choose(result, variable, keep=("step", "parameter"), **select).title
            ax.set_title(", ".join(filter(None, [which, f"without {left_out} that started at zero"])))
        return ax
    return default(result, ax=ax, variable=variable, **select)


def by_cause(result: xr.Dataset, variable: str, words: str, *, ax: Axes | None = None, **select: Any) -> Axes:
    """Draw counts of entries by cause as shares of all that were looked at, a bar for each parameter.

    Parameters
    ----------
    result
        A result with the coords `numel`, and `sampled` where only a sample was looked at.
    variable
        Counts, (parameter, cause).
    words
        Label of the axis.
    ax
        Where to draw; a new figure by default.
    select
        Which part of it.
    """
    whole = result["sampled"] if "sampled" in result.coords else result["numel"]
    counts = result[variable]
    result = result.assign({variable: (counts / whole).assign_attrs(counts.attrs)})
    shares, title = choose(result, variable, keep=("parameter", "cause"), **select)
    shares = shares if "parameter" in shares.dims else shares.expand_dims("parameter")
    ax = canvas(ax, height=tall(shares.sizes["parameter"]))
    stacked(shares, ax, parts="cause")
    ax.set_xlabel(words)
    ax.set_title(title)
    return ax


def from_somewhere(result: xr.Dataset) -> tuple[xr.DataArray, int]:
    """Return relative distances without the parameters that started at zero in all runs, and count these.

    Of the others those runs are blank in which they started at zero.
    """
    array = result["relative"]
    has_distance, has_norm = (variable.copy(data=np.isfinite(variable.values)) for variable in (array, result["norm"]))
    nowhere = ~has_distance.any("step") & has_norm.any("step")
    kept = ~nowhere.all([dim for dim in nowhere.dims if dim != "parameter"])
    if not kept.any():
        return array, 0
    return array.where(~nowhere).isel(parameter=np.flatnonzero(kept)), int((~kept).sum())


def known_rows(array: xr.DataArray) -> tuple[xr.DataArray, int]:
    """Drop the parameters without a finite value in any run, and count them; keep all if none has one."""
    is_known = np.isfinite(array.transpose("parameter", ...).values.reshape(array.sizes["parameter"], -1)).any(axis=1)
    return (array.isel(parameter=np.flatnonzero(is_known)), int((~is_known).sum())) if is_known.any() else (array, 0)


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    figures, reference, from_start = [], reference_name(result.attrs), is_from_start(result.attrs)
    if "parameter" in result.dims:
        array, left_out = from_somewhere(result)
        words = f"|w_t − w_0|₂ / |w_0|₂, w_0 being {reference}, for each layer from the input at the top."
        words += f" Left out: {left_out} that were all zeros there." if left_out else ""
        figures.append(multiples.panel("relative", f"Relative distance from {reference}", words, array))
    total = "total_relative" if "total_relative" in result else "relative"
    whole = "of the whole network" if total.startswith("total") else "of the tensor"
    title, words = f"Distance {whole} from {reference}", caption("", result[total])
    figures.append(Panel("total", title, words, (9.2, 3.0), partial(_lines, result, total)))
    if from_start:
        straight, rate = (total.replace("relative", name) for name in ("straightness", "update_ratio"))
        words = "Distance from the start over length of the path: 1 is a straight line, near 0 is wandering."
        words, draw = caption(words, result[straight]), partial(_lines, result, straight)
        figures.append(Panel("straightness", "Straightness of the path", words, (9.2, 3.0), draw))
        words = "Distance from the snapshot before, as a share of the norm there and by the steps between the two."
        words, draw = caption(words, result[rate]), partial(_rate, result, rate)
        figures.append(Panel("rate", "Rate of drift", words, (9.2, 3.0), draw))
    if from_start and "parameter" in result.dims and (point := most_unmoved(result)):
        figures.append(_unchanged(result, point))
    return figures


def _lines(result: xr.Dataset, name: str, figure: Figure) -> None:
    bands(result[name], figure.add_subplot())


def _rate(result: xr.Dataset, name: str, figure: Figure) -> None:
    recorded = result[name.replace("update_ratio", "path_length")].notnull().transpose(..., "step")
    strides = recorded.copy(data=stride_where(recorded.values, recorded["step"].values))
    rate = result[name] / strides
    bands(rate.assign_attrs(long_name="relative distance per step", units="1"), figure.add_subplot(), log=True)


def _unchanged(result: xr.Dataset, point: Extreme) -> Panel:
    """Return the figure of what never moved in the run where the most did not, the tensors named in which some did."""
    run = result.sel(point.at)
    still = (run["unchanged_cause"].sum("cause") > 0).values
    some = run.isel(parameter=np.flatnonzero(still))
    words = (
        f"Entries whose bits never changed{in_run(point).replace('`', '')}. Structural: the same kernel taps in all "
        "filters; dead unit: all that leads into a unit; frozen: the whole parameter; below resolution: the "
        "type is too coarse for the updates; static: the rest."
    )
    words += (
        f" Left out: {count(int((~still).sum()), 'tensor')} of which every entry changed." if not still.all() else ""
    )
    size = (9.2, tall(int(still.sum()), most=12.0))
    return Panel("unchanged", "What never changed, and why", words, size, partial(_causes, some))


def _causes(result: xr.Dataset, figure: Figure) -> None:
    drift(result, ax=figure.add_subplot(), variable="unchanged_cause").set_title("")
