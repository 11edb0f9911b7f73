"""Controls beside the views: they set the selection, and show it."""

from html import escape
from typing import Any

import numpy as np
import panel as pn
import xarray as xr

from trajlab.explorer.context import Context
from trajlab.explorer.quantity import free_dims, labels_of
from trajlab.explorer.reduction import WAYS
from trajlab.explorer.rows import MODES
from trajlab.explorer.run_facts import metrics_of, shown_metric
from trajlab.explorer.style import widget_style
from trajlab.figures.marks.labels import name_of

ALL_RUNS = 12
"""Runs that the list of runs shows at once."""


def definitions(result: xr.Dataset, variable: str) -> str:
    """Return the definition of a variable as HTML, and below it, folded, those of all variables of its result."""
    definition = str(result[variable].attrs.get("definition", ""))
    first = f'<p class="soft"><b>{escape(variable)}</b>{f" = {escape(definition)}" if definition else ""}</p>'
    entries = [
        f"<dt>{escape(str(name))}{f' [{escape(unit)}]' if (unit := str(array.attrs.get('units', ''))) else ''}</dt>"
        f"<dd>{escape(name_of(array))}{f': {escape(text)}' if (text := str(array.attrs.get('definition', ''))) else ''}"
        f"; dims {escape(', '.join(map(str, array.dims)))}</dd>"
        for name, array in result.data_vars.items()
    ]
    stage = escape(str(result.attrs.get("stage", "")))
    return f"{first}<details><summary>definitions of {stage}</summary><dl>{''.join(entries)}</dl></details>"


class Controls:
    """Widgets for the selection.

    Attributes
    ----------
    layout
        The widgets, one below the other.
    """

    def __init__(self, context: Context):
        self.context = context
        self._showing = False
        style = {"stylesheets": [widget_style(context.look)], "sizing_mode": "stretch_width", "margin": (3, 8)}
        w = pn.widgets
        self.result = w.Select(label="result", **style)
        self.variable = w.Select(label="variable", **style)
        self.definition = pn.pane.HTML("", sizing_mode="stretch_width", margin=(0, 8))
        self.at = pn.Column(sizing_mode="stretch_width", margin=0)
        self.run = w.Select(label="run of the heat map", **style)
        self.runs = w.MultiSelect(label="runs of the lines (none: all)", size=4, **style)
        self.row = w.Select(label="parameter or layer", **style)
        self.find = w.TextInput(label="find rows", placeholder="mlp, *.bias, layers.?.attn*", **style)
        self.mode = w.Select(label="order of rows", options=list(MODES), **style)
        self.way = w.Select(label="cells of several values", options=list(WAYS), **style)
        self.metric = w.Select(label="metric", **style)
        self.fold = w.Button(label="fold all modules", **style)
        self.step = w.DiscretePlayer(
            label="step", options=[0, 1], interval=400, show_loop_controls=False,
            **(style | {"sizing_mode": "fixed"}), width=280,
        )  # fmt: skip
        self.window = pn.pane.HTML("", sizing_mode="stretch_width", margin=(0, 8))
        self.whole = w.Button(label="show all steps", **style)
        self._style = style
        self._bind()
        self.layout = pn.Column(
            self.result, self.variable, self.definition, self.at, self.run, self.runs, self.row, self.find,
            self.mode, self.way, self.fold, self.metric, self.step, self.window, self.whole, width=300, margin=0,
        )  # fmt: skip

    def _bind(self) -> None:
        selection = self.context.selection

        def sets(widget: Any, name: str, value: str = "value") -> None:
            widget.param.watch(lambda event: self._set(**{name: event.new}), value)

        self.result.param.watch(lambda event: self._set(result=event.new or "", variable="", at={}), "value")
        self.variable.param.watch(
            lambda event: self._set(result=self.result.value or "", variable=event.new or ""), "value"
        )
        for widget, name in ((self.run, "run"), (self.runs, "runs"), (self.row, "row"), (self.find, "find"),
                             (self.mode, "mode"), (self.way, "way"), (self.metric, "metric"),
                             (self.step, "step")):  # fmt: skip
            sets(widget, name)
        self.fold.on_click(lambda event: selection.param.update(opened=[]))
        self.whole.on_click(lambda event: selection.param.update(window=None))

    def _set(self, **values: Any) -> None:
        if not self._showing:
            self.context.selection.param.update(**values)

    def show(self) -> None:
        """Show the selection in all widgets."""
        self._showing = True
        try:
            self._show_quantity()
            self._show_rest()
        finally:
            self._showing = False

    def _show_quantity(self) -> None:
        context = self.context
        maps, (result, variable) = context.maps(), context.quantity
        _fill(self.result, {name: name for name in maps}, result)
        arrays = maps.get(result, {})
        _fill(self.variable, {f"{name_of(array)} ({name})": name for name, array in arrays.items()}, variable)
        array = context.variable
        self.definition.object = "" if array is None else definitions(context.results[result], variable)
        dims = [] if array is None else free_dims(array)
        if [select.label for select in self.at] != dims:
            self.at.objects = [self._at(dim) for dim in dims]
        for select in self.at:
            texts = list(labels_of(array, select.label))  # type: ignore[arg-type]
            position = context.position(select.label)
            _fill(select, {text: text for text in texts}, texts[position])

    def _at(self, dim: str) -> Any:
        select = pn.widgets.Select(label=dim, **self._style)
        select.param.watch(
            lambda event: self._set(at={**self.context.selection.at, dim: event.new}) if event.new else None, "value"
        )
        return select

    def _show_rest(self) -> None:
        context, selection = self.context, self.context.selection
        several = len(context.runs) > 1
        _fill(self.run, {context.labels[run]: run for run in context.runs}, context.run)
        self.runs.options = {context.labels[run]: run for run in context.runs}
        self.runs.size = min(max(len(context.runs), 2), ALL_RUNS)
        self.runs.value = [run for run in selection.runs if run in context.runs]
        self.run.visible = self.runs.visible = several
        _fill(self.row, {name: name for name in context.names}, context.row)
        self.find.value, self.mode.value, self.way.value = selection.find, selection.mode, selection.way
        self.fold.visible = bool(selection.opened)
        metrics = metrics_of(context.collection.source.runs)
        _fill(self.metric, {name: name for name in metrics}, shown_metric(context))
        self.metric.visible = len(metrics) > 1
        steps = [int(step) for step in context.axis.steps]
        if selection.window is not None:
            first, last = selection.window
            steps = [step for step in steps if first <= step <= last] or steps
        if self.step.options != steps:
            nearest = steps[int(np.argmin(np.abs(np.array(steps) - context.step)))]
            self.step.param.update(options=steps, value=nearest)
        else:
            self.step.value = context.step if context.step in steps else steps[-1]
        self.step.visible = len(steps) > 1
        shown = "all steps" if selection.window is None else f"steps {steps[0]:,} to {steps[-1]:,}"
        hint = "; drag across a figure to zoom" if selection.window is None else ""
        self.window.object = f'<p class="soft">{shown}{hint}</p>'
        self.whole.visible = selection.window is not None


def _fill(widget: Any, options: dict[str, Any], value: Any) -> None:
    """Set the options and the value of a widget at once."""
    value = value if value in options.values() else None
    if widget.options != options:
        widget.param.update(options=options, value=value)
    elif widget.value != value:
        widget.value = value
