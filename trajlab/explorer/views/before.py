"""What happened before a step: what was unusual in the window before it, in the order in which it began."""

import re
from html import escape

import numpy as np
import pandas as pd
import panel as pn
import xarray as xr

from trajlab.errors import MissingData
from trajlab.explorer.context import Context
from trajlab.explorer.markup import note
from trajlab.explorer.quantity import numbers
from trajlab.explorer.selection import CHANGES
from trajlab.explorer.style import widget_style
from trajlab.explorer.views.lines import NAMED, LineChart
from trajlab.explorer.views.overview import events_of
from trajlab.explorer.views.view import bokeh_part, html
from trajlab.running.explain import LOOK_BACK, RECORDED, Explanation, explained
from trajlab.statistics.unusual import Unusual
from trajlab.statistics.wording import number

LOOKS_BACK = (10, 20, 50, 100, 200, 500, 1_000, 5_000)
"""Windows, in optimizer steps."""

DEFAULT = f"{LOOK_BACK}, or {RECORDED} recorded steps"
"""Label of the default window."""

MOST = 40
"""Events that are listed."""


class Before:
    """What was unusual before the selected step."""

    def __init__(self, context: Context):
        self.context = context
        style = {"stylesheets": [widget_style(context.look)], "width": 260}
        self.back = pn.widgets.Select(label="optimizer steps to look back", options={DEFAULT: 0}, **style)
        self.absent, self.sentences, self.events = html(""), html(""), html("")
        self.chart = bokeh_part()
        self.layout = pn.Column(
            self.back, self.absent, self.sentences, self.chart.pane, self.events, sizing_mode="stretch_width"
        )
        self._showing = False
        self.back.param.watch(lambda event: self._set(event.new or None), "value")

    def _set(self, back: int | None) -> None:
        if not self._showing:
            self.context.selection.back = back

    def update(self) -> None:
        """Show the selection."""
        context, selection = self.context, self.context.selection
        self._showing = True
        try:
            steps = sorted({*LOOKS_BACK, *([selection.back] if selection.back else [])})
            options = {DEFAULT: 0} | {f"{count:,}": count for count in steps}
            self.back.param.update(options=options, value=selection.back or 0)
        finally:
            self._showing = False
        explanation, reason = self._explained()
        self.absent.object = note(reason)
        self.sentences.object = "" if explanation is None else _sentences(explanation)
        self.events.object = "" if explanation is None else _table(explanation.events)
        key = (context.run, context.step, selection.back, selection.window, context.collection.revision(CHANGES))
        drawn = self.chart.show(key, lambda: self._chart(explanation))
        if drawn is not None:
            drawn.line.update(location=float(context.axis.x(context.step)), visible=True)

    def table(self) -> pd.DataFrame:
        """Return what was unusual, in the order in which it began."""
        explanation, _ = self._explained()
        return pd.DataFrame([] if explanation is None else explanation.events, columns=Unusual._fields)

    def _explained(self) -> tuple[Explanation | None, str]:
        """Return what was unusual; None, and the reason, if that cannot be known."""
        context = self.context
        result = context.result_of_run(CHANGES, "begins")
        if result is None:
            return None, context.why_absent(CHANGES)
        try:
            return explained(result, context.step, window=context.selection.back), ""
        except MissingData as error:  # the step is of another run
            return None, str(error)

    def _chart(self, explanation: Explanation | None) -> LineChart | None:
        """Return the series that were the first to be unusual, each relative to its value before."""
        context = self.context
        result = context.result_of_run(CHANGES, "begins")
        if result is None or explanation is None or not explanation.events:
            return None
        lines: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        names = [f"{place} {quantity}" for place, quantity in zip(*_labels(result), strict=True)]
        for event in explanation.events:
            name = f"{event.place} {event.quantity}"
            if name in names and name not in lines and len(lines) < NAMED and event.before:
                values = numbers(result["value"].isel(series=names.index(name))) / abs(event.before)
                is_recorded = np.isfinite(values)
                lines[name] = result["step"].values[is_recorded], values[is_recorded]
        if not lines:
            return None
        events = events_of(context, lambda x, y: setattr(context.selection, "step", context.axis.step(x)))
        title = "the first that were unusual" + (f": {next(iter(lines))}" if len(lines) == 1 else "")
        return LineChart(context, lines, title, unit="relative to the value before", events=events, height=300)


def _labels(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    return result["place_of"].values.astype(str), result["quantity_of"].values.astype(str)


def _sentences(explanation: Explanation) -> str:
    head = f"<h3>Steps {explanation.first:,} to {explanation.step:,}</h3>"
    *events, last = explanation.sentences
    listed = "".join(f"<li>{_with_code(text)}</li>" for text in events[:MOST])
    more = note(f"{len(events) - MOST} more are in the CSV file.") if len(events) > MOST else ""
    return f"{head}{f'<ol>{listed}</ol>' if listed else ''}{more}<p>{_with_code(last)}</p>"


def _with_code(text: str) -> str:
    """Return a sentence as HTML, with names in backticks as code."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", escape(text))


def _table(events: list[Unusual]) -> str:
    if not events:
        return ""
    head = "".join(f"<th>{name}</th>" for name in ("where", "quantity", "kind", "step", "score", "before", "after"))
    body = "".join(
        f"<tr><th>{escape(event.place)}</th><td>{event.quantity}</td><td>{event.kind}</td><td>{event.step:,}</td>"
        f"<td>{number(event.score)}</td><td>{number(event.before)}</td><td>{number(event.after)}</td></tr>"
        for event in events[:MOST]
    )
    return f"<table class='numbers'><tr>{head}</tr>{body}</table>"
