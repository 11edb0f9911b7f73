"""A layer: any variable over the steps for all chosen runs, and what the stages hold about its values."""

from typing import Any

import numpy as np
import pandas as pd
import panel as pn
import xarray as xr
from bokeh.models import ColumnDataSource, CustomJSHover

from trajlab.explorer.context import Context
from trajlab.explorer.look import chart, color_mapper, hover, marker, plain, step_chart
from trajlab.explorer.quantity import numbers, of_run, row_dim
from trajlab.explorer.reduction import MEAN, columns
from trajlab.explorer.views.heat_map import VALUE, color_bar, nearest
from trajlab.explorer.views.lines import LineChart
from trajlab.explorer.views.overview import events_of
from trajlab.explorer.views.view import bokeh_part, html, key_of, note
from trajlab.figures.marks.labels import name_of
from trajlab.figures.marks.scale import scale_for

MOST_LINES = 512
"""Rows of a raster of units or entries at most."""


class Layer:
    """The selected parameter or layer."""

    def __init__(self, context: Context):
        self.context = context
        self.absent = html("")
        self.series, self.histogram, self.fan, self.spectrum, self.raster = (bokeh_part() for _ in range(5))
        self.layout = pn.Column(
            self.absent, self.series.pane, pn.Row(self.histogram.pane, self.spectrum.pane, sizing_mode="stretch_width"),
            self.fan.pane, self.raster.pane, sizing_mode="stretch_width",
        )  # fmt: skip

    def update(self) -> None:
        """Show the selection."""
        context = self.context
        key = key_of(context, context.row)
        self.absent.object = "" if context.row else note("No result is there yet.")
        parts = [
            self.series.show(key, self._series),
            self.fan.show(key_of(context, context.row, results=["distribution"]), self._fan),
            self.raster.show(key_of(context, context.row, results=["dead_neurons", "sign_flips"]), self._raster),
        ]
        x = float(context.axis.x(context.step))
        for drawn in parts:
            if drawn is not None:
                drawn.line.update(location=x, visible=True)
        for part, result, draw in (
            (self.histogram, "distribution", self._histogram),
            (self.spectrum, "spectrum", self._spectrum),
        ):
            drawn = part.show(key_of(context, context.row, results=[result]), draw)
            if drawn is not None:
                drawn.at_step(context.step)

    def table(self) -> pd.DataFrame:
        """Return the variable of the row, steps by runs."""
        return pd.DataFrame({name: pd.Series(y, steps) for name, (steps, y) in self._lines().items()})

    def _lines(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        context, lines = self.context, {}
        for run in context.chosen_runs:
            part = context.part(run)
            if part is not None and context.row in part[row_dim(part)].values:
                row = part.sel({row_dim(part): context.row})
                lines[context.labels[run]] = part["step"].values, numbers(row)
        return lines

    def _events(self) -> dict:
        context = self.context
        return events_of(context, lambda x, y: setattr(context.selection, "step", context.axis.step(x)))

    def _series(self) -> LineChart | None:
        lines, array = self._lines(), self.context.variable
        if not lines or array is None:
            return None
        context = self.context
        result, variable = context.quantity
        aside = {}
        for suffix, label in (("_null", "by chance"), ("_ar1", "AR(1)"), ("_coin", "coin")):
            part = context.part(context.run, result=result, variable=f"{variable}{suffix}")
            if part is not None and "step" in part.dims and row_dim(part):
                aside[label] = part["step"].values, numbers(part.sel({row_dim(part): context.row}))
        title = f"{context.row} · {name_of(array)}"
        return LineChart(context, lines, title, unit=name_of(array), events=self._events(), height=280, aside=aside)

    def _of_row(self, result: str, variable: str) -> xr.DataArray | None:
        """Return a variable of the run of the heat map and the selected row; None if there is none."""
        context = self.context
        array = context.results.get(result, xr.Dataset()).get(variable)
        part = None if array is None else of_run(array, context.run)
        if part is None or context.row not in part[row_dim(part)].values.tolist():
            return None
        return context.arrays.load(
            (result, variable, context.run, context.row, id(context.results[result])),
            part.sel({row_dim(part): context.row}),
        )

    def _histogram(self) -> "Histogram | None":
        counts, edges = self._of_row("distribution", "histogram"), self._of_row("distribution", "bin_edges")
        if counts is None or edges is None or not np.isfinite(numbers(edges)).all():
            return None
        return Histogram(self.context, counts, numbers(edges))

    def _spectrum(self) -> "Spectrum | None":
        values = self._of_row("spectrum", "singular_values")
        if values is None or not np.isfinite(numbers(values)).any():
            return None
        bounds = {name: self._of_row("spectrum", name) for name in ("mp_lower", "mp_upper", "mp_threshold")}
        return Spectrum(self.context, values, {name: part for name, part in bounds.items() if part is not None})

    def _fan(self) -> "Fan | None":
        quantiles = self._of_row("distribution", "quantiles")
        return None if quantiles is None else Fan(self.context, quantiles, self._events())

    def _raster(self) -> "Raster | None":
        context = self.context
        for result, variables in (("dead_neurons", ("dead", "gradient_dead", "weight_static")),):
            for variable in variables:
                part = self._of_row(result, variable)
                if part is not None and np.isfinite(numbers(part)).any():
                    return Raster(context, part, self._events())
        signs = context.results.get("sign_flips", xr.Dataset()).get("sign_map")
        part = None if signs is None else of_run(signs, context.run)
        if part is None or "parameter_of" not in part.coords:
            return None
        entries = np.flatnonzero([str(name) == context.row for name in part["parameter_of"].values])
        if not len(entries):
            return None
        part = part.isel(entry=entries, tau=part.sizes["tau"] - 1)
        key = ("sign_map", context.run, context.row, id(context.results["sign_flips"]))
        return Raster(context, context.arrays.load(key, part), self._events())


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
            np.repeat(edges, 1), np.append(first, first[-1:]), mode="after", color=look.ink, line_width=1.2,
            legend_label=f"step {int(counts['step'].values[0]):,}",
        )  # fmt: skip
        self.figure.legend.background_fill_alpha, self.figure.legend.border_line_color = 0.0, None
        self.figure.legend.label_text_color = look.ink
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
        self.figure.legend.background_fill_alpha, self.figure.legend.border_line_color = 0.0, None
        self.figure.legend.label_text_color = look.ink

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
        self.figure.legend.background_fill_alpha, self.figure.legend.border_line_color = 0.0, None
        self.figure.legend.label_text_color, self.figure.legend.label_text_font_size = look.ink, "11px"
        self.figure.add_layout(self.figure.legend[0], "right")
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
        self.figure.grid.grid_line_color = None
        scale = scale_for(xr.DataArray(table))
        mapper = color_mapper(scale, context.look)
        source = ColumnDataSource({
            "image": [scale.show(image)], "value": [image], "x": [low], "y": [0], "dw": [high - low],
            "dh": [len(table)],
        })  # fmt: skip
        self.figure.image("image", "x", "y", "dw", "dh", source=source, color_mapper=mapper)
        self.figure.add_layout(color_bar(mapper, context), "right")
        self.line = marker(self.figure, context.look, float(context.axis.x(context.step)))
