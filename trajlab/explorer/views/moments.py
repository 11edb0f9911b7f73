"""Two moments: step a against step b, of one run or of two."""

from html import escape

import numpy as np
import pandas as pd
import panel as pn

from trajlab.explorer.context import Context
from trajlab.explorer.markup import note
from trajlab.explorer.pair import COLUMNS, Pair, changed_rows, compare
from trajlab.explorer.quantity import numbers, row_dim
from trajlab.explorer.style import NARROW, widget_style
from trajlab.explorer.views.heat_map import nearest
from trajlab.explorer.views.moment_charts import MOST, Bars, TwoHistograms
from trajlab.explorer.views.view import bokeh_part, html, key_of
from trajlab.figures.marks.labels import name_of
from trajlab.statistics.wording import number

SAME = "a and b are the same snapshot, so nothing changed: choose another step or run."


class Moments:
    """Step a against step b."""

    def __init__(self, context: Context):
        self.context = context
        style = {"stylesheets": [widget_style(context.look)]}
        self.run = pn.widgets.Select(label="a: run", **style)
        self.before = pn.widgets.DiscreteSlider(label="a: step", options=[0, 1], **style)
        self.title = html("")
        self.bars, self.histogram = bokeh_part(), bokeh_part()
        self.layers, self.rows = html(""), html("")
        self.layout = pn.Column(
            pn.Row(self.run, self.before, stylesheets=[NARROW]), self.title, self.layers,
            pn.Row(self.histogram.pane, self.rows, sizing_mode="stretch_width", stylesheets=[NARROW]), self.bars.pane,
            sizing_mode="stretch_width",
        )  # fmt: skip
        self._showing = False
        self.run.param.watch(lambda event: self._set(run_before=event.new or ""), "value")
        self.before.param.watch(lambda event: self._set(before=event.new), "value")

    def _set(self, **values) -> None:
        if not self._showing:
            self.context.selection.param.update(**values)

    def update(self) -> None:
        """Show the selection."""
        context = self.context
        self._show_controls()
        a, b = self._moments()
        first, second = context.labels[context.run_before], context.labels[context.run]
        names = (f"{first}, " if first != second else "", f"{second}, " if first != second else "")
        self.title.object = f"<h3>a: {escape(names[0])}step {a:,} → b: {escape(names[1])}step {b:,}</h3>"
        pair = self._pair()
        self.layers.object = self._layers_table(pair)
        key = key_of(context, a, b, self.context.run_before)
        self.bars.show(key, self._bars)
        self.histogram.show((key, context.row, pair is None), lambda: self._histogram(pair))
        self.rows.object = self._rows_table()

    def table(self) -> pd.DataFrame:
        """Return the layers ranked by how much they changed."""
        pair = self._pair()
        return pair.table if isinstance(pair, Pair) else self._change()

    def _show_controls(self) -> None:
        context = self.context
        steps = [int(step) for step in context.axis.steps]
        self._showing = True
        try:
            options = {context.labels[run]: run for run in context.runs}
            self.run.param.update(options=options, value=self.context.run_before)
            self.run.visible = len(options) > 1
            if self.before.options != steps:
                self.before.options = steps
            self.before.value = context.before
            self.before.visible = len(steps) > 1
        finally:
            self._showing = False

    def _moments(self) -> tuple[int, int]:
        return self.context.before, self.context.step

    def _runs(self) -> tuple | None:
        runs = self.context.collection.source.runs
        if self.context.run_before not in runs or self.context.run not in runs:
            return None
        return runs[self.context.run_before], runs[self.context.run]

    def _pair(self) -> "Pair | Exception | None":
        runs, (a, b) = self._runs(), self._moments()
        if runs is None:
            return None
        key = ("pair", self.context.run_before, a, self.context.run, b)
        return self.context.collection.aside.value(key, lambda: compare(runs[0], a, runs[1], b))

    def _layers_table(self, pair: "Pair | Exception | None") -> str:
        if self._runs() is None:
            return note("The runs themselves were not named: only the change of the variable is shown, below.")
        if pair is None:
            return note("The two snapshots are being compared.")
        if isinstance(pair, Exception):
            return note(f"The two snapshots cannot be compared: {pair}")
        head = "".join(f"<th>{escape(title)}</th>" for _, title in COLUMNS.values())
        body = "".join(
            f"<tr><th>{escape(str(name))}</th>"
            + "".join(f"<td>{number(row[column])}</td>" for column in COLUMNS)
            + "</tr>"
            for name, row in pair.table.head(MOST).iterrows()
        )
        more = len(pair.table) - MOST
        a, b = self._moments()
        notes = [SAME] if a == b and self.context.run_before == self.context.run else []
        notes += [f"{more} layers that changed less are in the CSV file."] if more > 0 else []
        notes += [f"Not compared: {'; '.join(pair.skipped[:5])}{' …' if len(pair.skipped) > 5 else ''}"] * bool(
            pair.skipped
        )
        return f"<table class='numbers'><tr><th>layers by relative change</th>{head}</tr>{body}</table>" + "".join(
            map(note, notes)
        )

    def _rows_table(self) -> str:
        runs, (a, b), context = self._runs(), self._moments(), self.context
        if runs is None or context.row not in runs[1].weights:
            return ""
        key = ("rows", self.context.run_before, a, context.run, b, context.row)
        table = context.collection.aside.value(key, lambda: changed_rows(runs[0], a, runs[1], b, context.row))
        if table is None or isinstance(table, Exception) or not len(table):
            return ""
        is_embedding = runs[1].weights[context.row].attrs.get("kind") == "embedding" or "embed" in context.row
        what = "token" if is_embedding else "row"
        body = "".join(
            f"<tr><th>{index}</th><td>{number(row['change'])}</td><td>{number(row['relative'])}</td></tr>"
            for index, row in table.head(12).iterrows()
        )
        title = f"{what}s of {context.row} that changed most, of {len(table):,}"
        head = f"<tr><th>{what}</th><th>norm of the change</th><th>relative</th></tr>"
        return f"<h3>{escape(title)}</h3><table class='numbers'>{head}{body}</table>"

    def _change(self) -> pd.DataFrame:
        """Return the change of the selected variable between the two moments, the largest first."""
        context = self.context
        parts = [part for part in map(context.part, (self.context.run_before, context.run)) if part is not None]
        if len(parts) < 2:
            return pd.DataFrame({"a": [], "b": [], "change": []})
        dim, (a, b) = row_dim(parts[0]), self._moments()
        columns = {
            name: pd.Series(numbers(part.isel(step=nearest(part, step))), part[dim].values.astype(str))
            for name, part, step in zip("ab", parts, (a, b), strict=True)
        }
        table = pd.DataFrame(columns)
        table["change"] = table["b"] - table["a"]
        return table.reindex(table["change"].abs().sort_values(ascending=False, na_position="last").index)

    def _bars(self) -> Bars | None:
        table = self._change()
        array = self.context.variable
        if array is None or not np.isfinite(table["change"]).any():
            return None
        return Bars(self.context, table, name_of(array))

    def _histogram(self, pair: "Pair | Exception | None") -> TwoHistograms | None:
        if not isinstance(pair, Pair) or self.context.row not in pair.table.index:
            return None
        part = pair.distribution.sel(parameter=self.context.row)
        edges = numbers(part["bin_edges"])
        if not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
            return None
        return TwoHistograms(self.context, edges, numbers(part["histogram"].transpose("step", "bin")))
