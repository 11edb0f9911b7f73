"""Overview: facts, metrics, alerts, and the heat map of any variable."""

from html import escape

import numpy as np
import pandas as pd
import panel as pn

from trajlab.explorer.computation import COMPUTING, FAILED, READY, WAITING
from trajlab.explorer.context import Context
from trajlab.explorer.markup import facts_table, note, table_of
from trajlab.explorer.quantity import numbers, row_dim
from trajlab.explorer.run_facts import facts_of, shown_metric
from trajlab.explorer.views.alert_timeline import AlertTimeline, alerts_of
from trajlab.explorer.views.heat_map import HeatMap
from trajlab.explorer.views.lines import LineChart
from trajlab.explorer.views.role_grid import RoleGrid
from trajlab.explorer.views.view import bokeh_part, html, key_of

LONE_STEP = (
    "There is one snapshot, step {:,}: changes are unknown; name a folder that holds more of the run to see them."
)


class Overview:
    """The first view."""

    def __init__(self, context: Context):
        self.context = context
        self.facts, self.notes, self.absent, self.noticed = (html("") for _ in range(4))
        self.metrics, self.alerts, self.map, self.grid = (bokeh_part() for _ in range(4))
        self.layout = pn.Column(
            self.absent, self.noticed, self.map.pane, self.grid.pane, self.metrics.pane, self.alerts.pane,
            self.facts, self.notes, sizing_mode="stretch_width",
        )  # fmt: skip
        self._facts_of: tuple[str, int] | None = None

    def update(self) -> None:
        """Show the selection."""
        context, s = self.context, self.context.selection
        left_out = [f"Not shown: {text}" for text in context.collection.source.notes]
        self.absent.object = absence(context) + "".join(map(note, left_out))
        self.noticed.object = noticed_list(context)
        rows = (s.mode, tuple(s.opened), s.find, s.way)
        drawn = self.map.show(key_of(context, *rows), self._map)
        grid = self.grid.show(key_of(context, drawn is None), self._grid)
        metrics = self.metrics.show(key_of(context, shown_metric(context)), self._metrics)
        alerts = self.alerts.show(key_of(context, results=["alerts"]), self._alerts)
        x = float(context.axis.x(context.step))
        for part in (drawn, metrics, alerts):
            if part is not None:
                part.line.update(location=x, visible=True)
        if grid is not None:
            grid.at_step()
        if self._facts_of != (context.run, context.collection.runs.readings):
            self._facts_of = context.run, context.collection.runs.readings
            self.facts.object = facts_of_run(context)
        self.notes.object = states_table(context)

    def table(self) -> pd.DataFrame:
        """Return the variable of the heat map, rows by steps."""
        part = self.context.part(self.context.run)
        if part is None:
            return pd.DataFrame()
        dim, window = row_dim(part), self.context.selection.window
        part = part if window is None else part.sel(step=slice(*window))
        return pd.DataFrame(
            numbers(part.transpose(dim, "step")), pd.Index(part[dim].values.astype(str), name=dim), part["step"].values
        )

    def _map(self) -> HeatMap | None:
        if not self.context.quantity[0] or self.context.part(self.context.run) is None:
            return None

        def tap(x: float, y: float) -> None:
            row = self.map.drawn.row_at(y)
            if row is not None:
                self._tapped(x, row.name, row.folded)

        return HeatMap(self.context, self._events(tap))

    def _grid(self) -> RoleGrid | None:
        try:
            return None if self.map.drawn is None else RoleGrid(self.context, self._tapped_block)
        except ValueError:
            return None  # no repeated blocks

    def _metrics(self) -> LineChart | None:
        metric = shown_metric(self.context)
        runs = self.context.collection.source.runs
        lines = {}
        for name in self.context.chosen_runs:
            if name in runs and metric in runs[name].metrics:
                array = runs[name].metrics[metric]
                is_logged = np.isfinite(numbers(array))
                lines[self.context.labels[name]] = array["step"].values[is_logged], numbers(array)[is_logged]
        if not lines:
            return None
        return LineChart(self.context, lines, metric, unit=metric, events=self._events(self._tapped))

    def _alerts(self) -> AlertTimeline | None:
        result = self.context.results.get("alerts")
        alerts = None if result is None else alerts_of(result, self.context.run)
        if alerts is None or not alerts.labels:
            return None

        def tap(x: float, y: float) -> None:
            place = self.alerts.drawn.place_at(y).removesuffix(".grad")
            self._tapped(x, place if place in self.context.names else "")

        return AlertTimeline(self.context, alerts, self._events(tap))

    def _events(self, tap) -> dict:
        return events_of(self.context, tap)

    def _tapped(self, x: float, row: str | float = "", folded: bool = False) -> None:
        """Select the step at a click, and the row; unfold it if it is a folded module."""
        selection = self.context.selection
        values: dict = {"step": self.context.axis.step(x)}
        if isinstance(row, str) and row:
            values["row"] = row
            if folded and row not in selection.opened:
                values["opened"] = [*selection.opened, row]
        selection.param.update(**values)

    def _tapped_block(self, x: float, y: float) -> None:
        name = self.grid.drawn.name_at(x, y)
        if name:
            self.context.selection.row = name


def absence(context: Context) -> str:
    """Return why nothing over steps and layers can be shown, or only one step, as HTML; empty if all can be."""
    if context.quantity[0]:
        return note(LONE_STEP.format(context.step)) if len(context.axis.steps) == 1 else ""
    if context.collection.is_busy:
        return note("The first results are being computed; they appear here as soon as they are there.")
    return note("There is no result over steps and layers to show.")


def events_of(context: Context, tap) -> dict:
    """Return the handlers of a figure over the steps."""
    selection = context.selection
    return {
        "on_tap": tap,
        "on_window": lambda low, high: setattr(selection, "window", context.axis.window(low, high)),
        "on_reset": lambda: setattr(selection, "window", None),
    }


def noticed_list(context: Context) -> str:
    """Return what the online CUSUM noticed in runs that are followed as HTML: the last change, the others folded."""
    noticed = [escape(text) for text in context.collection.runs.noticed]
    if not noticed:
        return ""
    more = "".join(f"<li>{text}</li>" for text in noticed[1:])
    earlier = f"<details><summary>{len(noticed) - 1} before it</summary><ul>{more}</ul></details>" if more else ""
    return f"<p class='note'>Noticed: {noticed[0]}</p>{earlier}"


def facts_of_run(context: Context) -> str:
    """Return the facts of the selected run as an HTML table."""
    run = context.collection.source.runs.get(context.run)
    if run is not None:
        return facts_table(context.run, run)
    facts = [(key, str(value)) for key, value in facts_of(context).get(context.run, {}).items()]
    facts.append(("results", ", ".join(context.results)))
    return table_of(context.run, facts, ["The run itself was not named: only its results are shown."])


def states_table(context: Context) -> str:
    """Return how far each result is as HTML."""
    collection = context.collection
    waiting = [name for name, state in collection.states.items() if state.word in (WAITING, COMPUTING)]
    ready = [name for name, state in collection.states.items() if state.word == READY]
    lines = [("ready", ", ".join(ready)), ("to be computed", ", ".join(waiting))]
    lines += [
        (f"{name} {'failed' if state.word == FAILED else 'was not computed'}", state.detail)
        for name, state in collection.states.items()
        if state.word not in (READY, WAITING, COMPUTING)
    ]
    lines.append(("kept in", str(collection.folder) if collection.source.runs else ""))
    cells = "".join(f"<tr><th>{escape(key)}</th><td>{escape(text)}</td></tr>" for key, text in lines if text)
    summary = f"Results: {len(ready)} of {len(collection.states)}"
    return f"<details><summary>{summary}</summary><table class='facts'>{cells}</table></details>"
