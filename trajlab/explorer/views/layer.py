"""A layer: any variable over the steps for all chosen runs, and what the stages hold about its values."""

import numpy as np
import pandas as pd
import panel as pn
import xarray as xr

from trajlab.explorer.context import Context
from trajlab.explorer.quantity import numbers, of_run, row_dim
from trajlab.explorer.style import NARROW
from trajlab.explorer.views.layer_charts import Fan, Histogram, Raster, Spectrum
from trajlab.explorer.views.lines import LineChart
from trajlab.explorer.views.overview import absence, events_of
from trajlab.explorer.views.view import bokeh_part, html, key_of
from trajlab.figures.marks.labels import name_of


class Layer:
    """The selected parameter or layer."""

    def __init__(self, context: Context):
        self.context = context
        self.absent = html("")
        self.series, self.histogram, self.fan, self.spectrum, self.raster = (bokeh_part() for _ in range(5))
        self.layout = pn.Column(
            self.absent, self.series.pane,
            pn.Row(self.histogram.pane, self.spectrum.pane, sizing_mode="stretch_width", stylesheets=[NARROW]),
            self.fan.pane, self.raster.pane, sizing_mode="stretch_width",
        )  # fmt: skip

    def update(self) -> None:
        """Show the selection."""
        context = self.context
        key = key_of(context, context.row)
        self.absent.object = absence(context)
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
            (result, variable, context.run, context.row, context.collection.revision(result)),
            part.sel({row_dim(part): context.row}),
        )

    def _histogram(self) -> Histogram | None:
        counts, edges = self._of_row("distribution", "histogram"), self._of_row("distribution", "bin_edges")
        if counts is None or edges is None or not np.isfinite(numbers(edges)).all():
            return None
        return Histogram(self.context, counts, numbers(edges))

    def _spectrum(self) -> Spectrum | None:
        values = self._of_row("spectrum", "singular_values")
        if values is None or not np.isfinite(numbers(values)).any():
            return None
        bounds = {name: self._of_row("spectrum", name) for name in ("mp_lower", "mp_upper", "mp_threshold")}
        return Spectrum(self.context, values, {name: part for name, part in bounds.items() if part is not None})

    def _fan(self) -> Fan | None:
        quantiles = self._of_row("distribution", "quantiles")
        return None if quantiles is None else Fan(self.context, quantiles, self._events())

    def _raster(self) -> Raster | None:
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
        key = ("sign_map", context.run, context.row, context.collection.revision("sign_flips"))
        return Raster(context, context.arrays.load(key, part), self._events())
