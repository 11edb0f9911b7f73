"""Figures of channels that emit and absorb gradients."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from trajlab.figures.default import default
from trajlab.figures.marks import multiples
from trajlab.figures.marks.boxes import boxes
from trajlab.figures.marks.canvas import canvas, tall
from trajlab.figures.marks.colors import CATEGORIES, INK, MISSING, SEQUENTIAL
from trajlab.figures.marks.empty import say_if_empty
from trajlab.figures.marks.heat import labels
from trajlab.figures.marks.labels import name_rows, shorten, title_of, value_axis, wrap
from trajlab.figures.marks.lines import beside, palette
from trajlab.figures.marks.scale import spans_decades
from trajlab.figures.marks.selection import choose, recorded
from trajlab.figures.panel import Panel
from trajlab.statistics.shown_steps import evenly
from trajlab.statistics.studies import facts, telling_facts

SIDES = {
    "em_sum": ("emission", "output channels", CATEGORIES[1]),
    "ab_sum": ("absorption", "input channels", CATEGORIES[0]),
}
"""What the report shows of channels: in words, whose it is, and its color."""

FEW = 3
"""Layers that the report shows side by side."""


MARKED = (2.0**-24, 2.0**-8, 2.0**8)
"""Sizes that an axis over elements of gradients marks."""

MARKS = (("o", True), ("o", False), ("s", True), ("s", False))
"""Marks of kinds of runs, and whether they are filled."""


def channel_gradients(
    result: xr.Dataset, *, ax: Axes | None = None, variable: str | None = None, **select: Any
) -> Axes:
    """Draw how much more emission differs among channels than absorption, or box plots of the channels of a layer.

    Parameters
    ----------
    result
        Result of the stage `channel_gradients`.
    ax
        Where to draw; a new figure by default.
    variable
        Which variable; one that ends in `_quantile` gives a box for each channel, and `gradient_histogram` a row for
        each channel, at the last step unless another is asked for.
    select
        Which part of it.
    """
    variable = variable or "cv_ratio"
    if variable == "gradient_histogram" and variable in result:
        return _histogram(result, ax, **select)
    if not variable.endswith("_quantile") or variable not in result:
        return default(result, ax=ax, variable=variable, **select)
    at = {"run": None, "step": result["step"].values[-1]} | select
    at = {dim: label for dim, label in at.items() if label is not None}
    if "run" in result.dims and "run" not in at:
        at["run"] = result["run"].values[0]
    quantiles, title = choose(result, variable, keep=("unit", "input_unit", "quantile"), **at)
    means, _ = choose(result, variable.removesuffix("_quantile"), keep=("unit", "input_unit"), **at)
    ax = canvas(ax)
    _boxes(quantiles, means, ax, CATEGORIES[1] if "unit" in quantiles.dims else CATEGORIES[0])
    ax.set_title(title)
    return ax


def panels(result: xr.Dataset) -> list[Panel]:
    """Return the figures that the report shows."""
    figures = []
    ratio = recorded(result["cv_ratio"])
    if bool(ratio.notnull().any()):
        caption = "Coefficient of variation of emission over channels, over that of absorption; above 1 emission "
        caption += "differs more from channel to channel."
        gray = "Gray: a layer with one input channel."
        figures.append(multiples.panel("cv_ratio", "Emission against absorption", caption, ratio, unknown=gray))
    over_samples = recorded(result["variance_ratio"])
    if bool(over_samples.notnull().any()):
        caption = "Variance over the samples of emission, averaged over the channels of a layer, over that of "
        caption += "absorption; above 1 emission varies more from sample to sample."
        title = "Emission against absorption, over samples"
        figures.append(multiples.panel("variance_ratio", title, caption, over_samples))
    size = (9.2, min(tall(result.sizes["layer"]) + 0.5, 7.0))
    caption = "Coefficient of variation over the channels of a layer at the last step; a mark for each run."
    figures.append(Panel("variation", "Variation among channels", caption, size, partial(_variation, result)))
    who = _which(result)
    caption = f"Channels by falling mean{who}: quartiles, median and range over the samples; points are means."
    size = (9.2, 4.6)
    figures.append(
        Panel("boxes", "Emission and absorption of each channel", caption, size, partial(_all_boxes, result))
    )
    caption = f"Channels of each layer from largest to least{who}: mean and variance over the samples."
    figures.append(Panel("sorted", "Channels by size", caption, (9.2, 5.0), partial(_sorted, result)))
    caption = f"A point is an output channel{who}; r is Pearson's."
    title = "Emission and the norm of the filter"
    figures.append(Panel("norms", title, caption, (9.2, 3.0), partial(_norms, result)))
    if "gradient_histogram" in result:
        caption = (
            f"A row is an output channel{who}, a column an octave of sizes of one sign; color is the share of the "
        )
        caption += "channel's elements."
        title = "Elements of the gradient of each channel"
        figures.append(Panel("histograms", title, caption, (9.2, 3.8), partial(_histograms, result)))
    title, array = "How far the norm explains emission", recorded(result["norm_correlation"])
    caption = "Correlation over the channels of emission with the norm of the filter."
    figures.append(multiples.panel("norm_correlation", title, caption, array, center=0.0))
    return figures


def _histogram(result: xr.Dataset, ax: Axes | None, **select: Any) -> Axes:
    """Draw the elements of the gradient of each channel of a layer."""
    at = {"run": None, "step": result["step"].values[-1], "layer": result["layer"].values[0]} | select
    if "run" in result.dims and at["run"] is None:
        at["run"] = result["run"].values[0]
    at = {dim: label for dim, label in at.items() if label is not None}
    counts, title = choose(result, "gradient_histogram", keep=("unit", "bin"), **at)
    ax = canvas(ax)
    _shares(counts, ax)
    ax.set_title(title)
    return ax


def _histograms(result: xr.Dataset, figure: Figure) -> None:
    end, layers = _end(result), _layers(result)
    axes = figure.subplots(1, len(layers), squeeze=False)[0]
    for ax, layer in zip(axes, layers, strict=True):
        _shares(end["gradient_histogram"].isel(layer=layer), ax, bar=ax is axes[-1])
        ax.set_title(shorten(str(result["layer"].values[layer]), 22))
        if ax is not axes[0]:
            ax.set_ylabel("")


def _shares(counts: xr.DataArray, ax: Axes, *, bar: bool = True) -> None:
    """Draw which share of the elements of each channel lies in each bin, (unit, bin); bins beyond all are left out."""
    counts = counts.transpose("unit", "bin").dropna("unit", how="all")
    values = counts.values
    occupied = np.flatnonzero((values > 0).any(0))
    if not occupied.size:
        say_if_empty(counts.where(counts > 0), ax)
        return
    first, last = occupied[0], occupied[-1] + 1
    with np.errstate(invalid="ignore"):
        shares = values[:, first:last] / values.sum(1, keepdims=True)
    ax.set_facecolor(MISSING)
    mesh = ax.pcolormesh(
        np.arange(first, last + 1) - 0.5, np.arange(len(values) + 1) - 0.5, np.ma.masked_where(shares == 0, shares),
        cmap=SEQUENTIAL, vmin=0, rasterized=True,
    )  # fmt: skip
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    marked = {0.0: len(counts["bin"]) // 2} | {
        edge: i - 0.5 for i, edge in enumerate(counts["bin_low"].values) if abs(edge) in MARKED
    }
    ticks = {edge: position for edge, position in marked.items() if first <= position <= last}
    ax.set_xticks(list(ticks.values()), [_power(edge) for edge in ticks])
    ax.set_xlabel("element of the gradient")
    ax.set_ylabel("output channel")
    if bar:
        ax.figure.colorbar(mesh, ax=ax, label="share of the elements", shrink=0.9)


def _power(edge: float) -> str:
    return f"{edge:g}" if not edge else f"{'−' if edge < 0 else ''}$2^{{{int(np.log2(abs(edge)))}}}$"


def _layers(result: xr.Dataset) -> list[int]:
    """Choose the layers that are shown side by side."""
    return evenly(result.sizes["layer"], FEW)


def _end(result: xr.Dataset) -> xr.Dataset:
    return result.isel(step=-1).isel(run=0, missing_dims="ignore")


def _which(result: xr.Dataset) -> str:
    run = f" of {result['run'].values[0]}" if "run" in result.dims else ""
    return f" at the last step{run}"


def _variation(result: xr.Dataset, figure: Figure) -> None:
    ax = figure.add_subplot()
    end = result.isel(step=-1)
    kinds = _kinds(end)
    for shift, (name, (*_, color)) in zip((-0.14, 0.14), SIDES.items(), strict=True):
        for (mark, face), runs in zip(MARKS, kinds.values(), strict=False):
            chosen = end if runs is None else end.isel(run=runs)
            values = chosen[f"{name}_channel_cv"].transpose("layer", ...).values.reshape(result.sizes["layer"], -1)
            rows = np.repeat(np.arange(len(values)) + shift, values.shape[1])
            fill = color if face else "none"
            ax.plot(values.ravel(), rows, mark, color=color, markerfacecolor=fill, markersize=4.5, alpha=0.7)
    if spans_decades(np.concatenate([line.get_xdata() for line in ax.lines])):
        ax.set_xscale("log")
        value_axis(ax.xaxis, end["em_sum_channel_cv"], log=True)
    else:
        ax.set_xlim(left=0.0)
    ax.set_ylim(result.sizes["layer"] - 0.5, -0.5)
    ax.set_xlabel("coefficient of variation over channels")
    name_rows(ax, labels(result["cv_ratio"], "layer"))
    beside(ax, _legend(list(kinds)))


def _kinds(end: xr.Dataset) -> dict[str, list[int] | None]:
    """Group the runs by the fact that separates them best; return one group of all if there are more than marks."""
    telling = [name for name in telling_facts(end) if name != "seed"] if "run" in end.dims else []
    values = facts(end)[telling[0]].tolist() if telling else []
    kinds = {str(level): [i for i, value in enumerate(values) if value == level] for level in dict.fromkeys(values)}
    return dict(kinds) if 1 < len(kinds) <= len(MARKS) else {"": None}


def _legend(kinds: list[str]) -> list[Line2D]:
    """Explain colors and, of several kinds of runs, marks."""
    handles = [Line2D([], [], marker="o", linestyle="", color=color, label=word) for word, _, color in SIDES.values()]
    for (mark, face), kind in zip(MARKS, kinds, strict=False):
        fill = INK if face else "none"
        handles += [Line2D([], [], marker=mark, linestyle="", color=INK, markerfacecolor=fill, label=kind)] * bool(kind)
    return handles


def _all_boxes(result: xr.Dataset, figure: Figure) -> None:
    end, layers = _end(result), _layers(result)
    axes = figure.subplots(2, len(layers), squeeze=False)
    for row, (name, (word, _, color)) in enumerate(SIDES.items()):
        for column, layer in enumerate(layers):
            ax = axes[row, column]
            _boxes(end[f"{name}_quantile"].isel(layer=layer), end[name].isel(layer=layer), ax, color)
            ax.set_ylabel(f"{word} [{end[name].attrs.get('units', '1')}]")
            if column:
                ax.set_ylabel("")
            if not row:
                ax.set_title(shorten(str(result["layer"].values[layer])))


def _boxes(quantiles: xr.DataArray, means: xr.DataArray, ax: Axes, color: str) -> None:
    values = quantiles.transpose(..., "quantile").values
    channels = int(np.isfinite(values).all(1).sum())
    shown = boxes(values, means.values, ax, color=color)
    quartiles = values[..., 1:4]
    if spans_decades(quartiles):
        positive = quartiles[quartiles > 0]
        ax.set_yscale("log")
        ax.set_ylim(bottom=float(np.quantile(positive, 0.01)) / 10)
        value_axis(ax.yaxis, means, log=True)
    else:
        ax.set_ylim(bottom=0.0)
    whose = "output" if "unit" in quantiles.dims else "input"
    ax.set_xlabel(f"{whose} channels, largest first" + (f" ({shown} of {channels})" if shown < channels else ""))
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if channels < 2:
        ax.set_xticks([])
    ax.set_ylabel(wrap(title_of(means), 2.0))


def _sorted(result: xr.Dataset, figure: Figure) -> None:
    end = _end(result)
    axes = figure.subplots(2, 2, sharex=True)
    colors = palette(result.sizes["layer"])
    for column, (name, (word, whose, _)) in enumerate(SIDES.items()):
        for row, (suffix, statistic) in enumerate((("", "mean"), ("_variance", "variance"))):
            ax = axes[row, column]
            for layer, color in enumerate(colors):
                values = end[name + suffix].isel(layer=layer).values
                values = np.sort(values[np.isfinite(values)])[::-1]
                mark = "o" if len(values) == 1 else None
                positions = np.arange(len(values)) / max(len(values) - 1, 1)
                ax.plot(positions, values, color=color, marker=mark, markersize=4, linewidth=1.2)
            if any((line.get_ydata() > 0).any() for line in ax.lines):
                ax.set_yscale("log")
                value_axis(ax.yaxis, end[name], log=True)
            ax.set_ylabel(f"{statistic} of {word}")
            if row:
                ax.set_xlabel(f"share of the {whose}, from the largest")
    for line, label in zip(axes[0, 1].lines, labels(result["cv_ratio"], "layer"), strict=True):
        line.set_label(shorten(label))
    handles = axes[0, 1].get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize="small")


def _norms(result: xr.Dataset, figure: Figure) -> None:
    end, layers = _end(result), _layers(result)
    axes = figure.subplots(1, len(layers), squeeze=False)[0]
    for ax, layer in zip(axes, layers, strict=True):
        of_layer = end.isel(layer=layer)
        style: dict[str, Any] = {"color": CATEGORIES[1], "markersize": 4, "alpha": 0.6, "markeredgewidth": 0}
        ax.plot(of_layer["filter_norm"].values, of_layer["em_sum"].values, "o", **style)
        ax.set_title(f"{shorten(str(of_layer['layer'].item()), 22)}, r = {float(of_layer['norm_correlation']):.2f}")
        ax.set_xlabel(title_of(of_layer["filter_norm"]))
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.ticklabel_format(axis="y", scilimits=(-2, 3))
    axes[0].set_ylabel(f"emission [{end['em_sum'].attrs.get('units', '1')}]")
