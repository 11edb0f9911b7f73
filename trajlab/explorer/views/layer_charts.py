"""Charts of a layer: its histogram and singular values at a step, its quantiles and units over the steps."""

from typing import Any

import numpy as np
import xarray as xr
from bokeh.models import BasicTicker, ColumnDataSource, CustomJSHover

from trajlab.explorer.charts import chart, color_mapper, hover, marker, plain, step_chart, style_legend
from trajlab.explorer.context import Context
from trajlab.explorer.quantity import numbers
from trajlab.explorer.reduction import MEAN, columns
from trajlab.explorer.views.heat_map import VALUE, color_bar, nearest
from trajlab.figures.marks.labels import name_of
from trajlab.figures.marks.scale import scale_for

MOST_LINES = 512
"""Rows of a raster of units or entries at most."""


class Histogram:
    """Histogram of a parameter at a step, with the first step as an outline."""

    def __init__(self, context: Context, counts: xr.DataArray, edges: np.ndarray):
        look = context.look
        self.counts, self.edges, self.title = counts, edges, context.row
        self.values = numbers(counts.transpose("step", "bin"))
        tip = hover([("from", "@left"), ("to", "@right"), ("entries", "@top{0,0}")])
        self.figure = chart(look, "", height=270, tools=[tip])
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = "value", "entries per unit"
        self.widths = np.where(np.diff(edges) > 0, np.diff(edges), np.nan)
        self.source = ColumnDataSource(self._data(0))
        self.figure.quad(
            "left", "right", "density", 0, source=self.source, fill_color=look.categories[0], line_color=None,
            fill_alpha=0.75,
        )  # fmt: skip
        first = self.values[0] / self.widths
        self.figure.step(
            edges, np.append(first, first[-1:]), mode="after", color=look.ink, line_width=1.2,
            legend_label=f"step {int(counts['step'].values[0]):,}",
        )  # fmt: skip
        style_legend(self.figure, look)
        self.figure.y_range.start = 0
        tops = np.nanmax(self.values / self.widths, initial=0.0)
        self.figure.y_range.end = 1.05 * min(tops, 4 * float(np.nanmax(first, initial=0.0)) or tops) or 1.0

    def _data(self, position: int) -> dict[str, Any]:
        counts = self.values[position]
        return {"left": self.edges[:-1], "right": self.edges[1:], "top": counts, "density": counts / self.widths}

    def at_step(self, step: int) -> None:
        """Show a step."""
        position = nearest(self.counts, step)
        self.source.data = self._data(position)
        self.figure.title.text = plain(f"values at step {int(self.counts['step'].values[position]):,}")


class Spectrum:
    """Singular values of a matrix at a step, with those of noise as a band and the first step as an outline."""

    def __init__(self, context: Context, values: xr.DataArray, bounds: dict[str, xr.DataArray]):
        look = context.look
        self.values, self.bounds = values, bounds
        self.table = numbers(values.transpose("step", "component"))
        self.table = np.where(self.table > 0, self.table, np.nan)
        self.table = self.table[:, : 1 + int(np.flatnonzero(np.isfinite(self.table).any(0)).max(initial=0))]
        self.figure = chart(
            look, "", height=270, y_axis_type="log",
            tools=[hover([("component", "@x"), ("value", "@y{custom}")], formatters={"@y": CustomJSHover(code=VALUE)})],
        )  # fmt: skip
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = "component", "singular value"
        self.x = np.arange(1, self.table.shape[1] + 1)
        self.band = ColumnDataSource({"x": [], "lower": [], "upper": []})
        self.figure.varea("x", "lower", "upper", source=self.band, fill_color=look.soft, fill_alpha=0.25)
        first = f"step {int(values['step'].values[0]):,}"
        self.figure.line(self.x, self.table[0], color=look.ink, line_dash="dotted", legend_label=first)
        self.source = ColumnDataSource({"x": self.x, "y": self.table[0]})
        self.figure.line("x", "y", source=self.source, color=look.categories[0])
        self.figure.scatter("x", "y", source=self.source, color=look.categories[0], size=5)
        style_legend(self.figure, look)

    def at_step(self, step: int) -> None:
        """Show a step."""
        position = nearest(self.values, step)
        self.source.data = {"x": self.x, "y": self.table[position]}
        lower, upper = (float(self.bounds[name][position]) if name in self.bounds else np.nan
                        for name in ("mp_lower", "mp_upper"))  # fmt: skip
        is_known = np.isfinite(upper) and upper > 0
        floor = float(np.nanmin(self.table, initial=np.inf))
        ends = [float(self.x[0]), float(self.x[-1])] if is_known else []
        low = max(lower, floor) if np.isfinite(lower) else floor
        self.band.data = {"x": ends, "lower": [low] * len(ends), "upper": [upper] * len(ends)}
        text = f"singular values at step {int(self.values['step'].values[position]):,}"
        self.figure.title.text = plain(text + (" · band: noise" if is_known else ""))


class Fan:
    """Quantiles over the steps as bands about the median."""

    def __init__(self, context: Context, quantiles: xr.DataArray, events: dict):
        look, axis = context.look, context.axis
        table = quantiles.transpose("step", "quantile")
        levels = numbers(table["quantile"])
        window = context.selection.window
        self.figure = step_chart(look, axis, "quantiles of the values", height=230, window=window, **events)
        self.figure.yaxis.axis_label = "value"
        x = axis.x(table["step"].values)
        values = numbers(table)
        kept = np.linspace(0, len(x) - 1, min(len(x), 1000)).astype(int)
        for low, level in enumerate(levels):
            high = int(np.argmin(np.abs(levels - (1 - level))))
            if level < 0.5 and np.isclose(levels[high], 1 - level):
                self.figure.varea(
                    x[kept], values[kept, low], values[kept, high], fill_color=look.categories[0], fill_alpha=0.2,
                    legend_label=f"{100 * level:g} to {100 * levels[high]:g} %",
                )  # fmt: skip
            elif np.isclose(level, 0.5):
                self.figure.line(x[kept], values[kept, low], color=look.categories[0], legend_label="median")
        style_legend(self.figure, look, beside=True)
        self.line = marker(self.figure, look, float(axis.x(context.step)))


class Raster:
    """Units or entries of a layer over the steps."""

    def __init__(self, context: Context, part: xr.DataArray, events: dict):
        dim = next(str(dim) for dim in part.dims if dim != "step")
        table = numbers(part.transpose(dim, "step"))
        table = table[np.isfinite(table).any(1)]
        hidden = max(0, len(table) - MOST_LINES)
        table = table[:MOST_LINES]
        low, high = context.axis.limits(context.selection.window)
        image = columns(table, context.axis.x(part["step"].values), low, high, way=MEAN)
        title = f"{name_of(part)} · each {dim} of {context.row}" + (f" · {hidden} more are not shown" if hidden else "")
        self.figure = step_chart(
            context.look, context.axis, title, height=110 + int(np.clip(6 * len(table), 80, 320)),
            window=context.selection.window, y_range=(len(table), 0), **events,
        )  # fmt: skip
        self.figure.add_tools(
            hover([(dim, "$y{0}"), ("value", "@value{custom}")], formatters={"@value": CustomJSHover(code=VALUE)})
        )
        self.figure.yaxis.axis_label = dim
        self.figure.yaxis.ticker = BasicTicker(min_interval=1)
        self.figure.grid.grid_line_color = None
        scale = scale_for(xr.DataArray(table), center=0.0 if (table < 0).any() else None)
        mapper = color_mapper(scale, context.look)
        source = ColumnDataSource({
            "image": [scale.show(image)], "value": [image], "x": [low], "y": [0], "dw": [high - low],
            "dh": [len(table)],
        })  # fmt: skip
        self.figure.image("image", "x", "y", "dw", "dh", source=source, color_mapper=mapper)
        self.figure.add_layout(color_bar(mapper, context), "right")
        self.line = marker(self.figure, context.look, float(context.axis.x(context.step)))
