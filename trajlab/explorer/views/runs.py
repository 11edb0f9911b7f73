"""Runs: their facts and end values, and a fact against an end value."""

from html import escape
from typing import Any

import numpy as np
import pandas as pd
import panel as pn

from trajlab.explorer.context import Context
from trajlab.explorer.markup import note
from trajlab.explorer.quantity import text_of
from trajlab.explorer.rank_correlation import rank_correlation
from trajlab.explorer.run_facts import facts_of
from trajlab.explorer.run_filter import filtered
from trajlab.explorer.style import NARROW, grid_style, widget_style
from trajlab.explorer.views.parallel_coordinates import ParallelCoordinates
from trajlab.explorer.views.run_colors import as_numbers
from trajlab.explorer.views.run_scatter import Scatter
from trajlab.explorer.views.view import bokeh_part, html
from trajlab.figures.marks.labels import name_of
from trajlab.reports.findings import headlines
from trajlab.statistics.wording import number

WIDEST_RUN, NARROW_RUN = 320, 170
"""Pixels of the column of runs at most, on a wide page and on a narrow one; longer names have several lines."""


class Runs:
    """Facts and end values of all runs."""

    def __init__(self, context: Context):
        self.context = context
        self._tables: tuple[Any, pd.DataFrame, pd.DataFrame] | None = None
        self._grid_key: Any = None
        style = {"stylesheets": [widget_style(context.look)], "width": 260}
        self.fact = pn.widgets.Select(label="fact (x)", **style)
        self.outcome = pn.widgets.Select(label="end value (y)", **style)
        self.color = pn.widgets.Select(label="color", **style)
        self.only = pn.widgets.TextInput(label="filter of runs", placeholder="lr<0.1 optimizer=adam seed*", **style)
        self.take = pn.widgets.Button(label="show these runs in all views", width=220, margin=(22, 8, 0, 8), **{
            "stylesheets": style["stylesheets"]
        })  # fmt: skip
        self.scatter, self.coordinates = bokeh_part(), bokeh_part()
        self.ranking, self.missing, self.unreadable = html(""), html(""), html("")
        self.grid = pn.widgets.Tabulator(
            pd.DataFrame(), disabled=True, pagination="local", page_size=20, sizing_mode="stretch_width",
            theme="simple", selectable=False, stylesheets=[grid_style(context.look)],
        )  # fmt: skip
        self.layout = pn.Column(
            self.missing, pn.Row(self.only, self.take, stylesheets=[NARROW]), self.unreadable, self.grid,
            pn.Row(self.fact, self.outcome, self.color, stylesheets=[NARROW]),
            pn.Row(self.scatter.pane, self.ranking, sizing_mode="stretch_width", stylesheets=[NARROW]),
            self.coordinates.pane, sizing_mode="stretch_width",
        )  # fmt: skip
        self._showing = False
        fields = {"fact": self.fact, "outcome": self.outcome, "color": self.color, "only": self.only}
        for name, widget in fields.items():
            widget.param.watch(lambda event, name=name: self._set(**{name: event.new or ""}), "value")
        self.take.on_click(lambda event: self._set(runs=self._kept()[0]))

    def _set(self, **values: Any) -> None:
        if not self._showing:
            self.context.selection.param.update(**values)

    def update(self) -> None:
        """Show the selection."""
        facts, ends = self._facts_and_ends()
        several = len(facts) > 1
        self.missing.object = "" if several else note("There is one run: name a folder of several to compare them.")
        s = self.context.selection
        fact = s.fact if s.fact in facts else _default_fact(facts)
        differing = [name for name in ends.columns if ends[name].nunique() > 1]
        outcome = s.outcome if s.outcome in ends else next(iter([*differing, *ends.columns]), "")
        self._showing = True
        try:
            self.fact.param.update(options=list(facts.columns), value=fact or None)
            self.outcome.param.update(options=list(ends.columns), value=outcome or None)
            self.color.param.update(
                options={"none": "", **{name: name for name in facts.columns}},
                value=s.color if s.color in facts else "",
            )
            self.only.value = s.only
        finally:
            self._showing = False
        for widget in (self.fact, self.outcome, self.color):
            widget.visible = several and bool(fact and outcome)
        self.only.visible = self.take.visible = several
        kept, unreadable = self._kept()
        self.unreadable.object = note(f"Not readable: {', '.join(unreadable)}" if unreadable else "")
        self.unreadable.object += note("No run meets the filter." if not kept else "")
        facts, ends = facts.loc[kept], ends.loc[kept]
        self._show_grid(facts, ends)
        key = (outcome, s.color, s.only, self._tables and self._tables[0])
        is_drawn = len(kept) > 1 and bool(fact and outcome)
        color = facts[s.color] if s.color in facts else None

        def choose(run: str) -> None:
            self._set(run=run)

        self.scatter.show(
            (fact, *key),
            lambda: Scatter(self.context, facts[fact], ends[outcome], color, choose) if is_drawn else None,
        )
        self.coordinates.show(
            key, lambda: ParallelCoordinates(self.context, facts, ends[outcome], color, choose) if is_drawn else None
        )
        self.ranking.object = self._ranking(facts, ends, outcome) if is_drawn else ""

    def _kept(self) -> tuple[list[str], list[str]]:
        """Return the runs that meet the filter, and the conditions that cannot be read."""
        return filtered(self.table(), self.context.selection.only)

    def _show_grid(self, facts: pd.DataFrame, ends: pd.DataFrame) -> None:
        """Show a table of facts and end values."""
        key = (self._tables and self._tables[0], tuple(facts.index))
        if key == self._grid_key:
            return
        self._grid_key = key
        shown = pd.concat([facts.map(text_of) if len(facts.columns) else facts, ends], axis=1)
        titles = {str(column): escape(str(column)) for column in shown.columns}
        shown.index.name = "run"
        shown[ends.columns] = ends.map(lambda value: float(f"{value:.4g}"))
        formatters = dict.fromkeys(map(str, shown.columns), {"type": "plaintext"}) | {"run": {"type": "textarea"}}
        longest = max((len(str(run)) for run in shown.index), default=0)
        widths = {"run": min(48 + 8 * longest, NARROW_RUN if self.context.look.narrow else WIDEST_RUN)}
        self.grid.param.update(
            titles=titles, formatters=formatters, widths=widths, frozen_columns=["run"], value=shown
        )  # fmt: skip

    def table(self) -> pd.DataFrame:
        """Return facts and end values of all runs."""
        return pd.concat(self._facts_and_ends(), axis=1)

    def _facts_and_ends(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        collection = self.context.collection
        key = collection.runs.readings, *((name, collection.revision(name)) for name in self.context.results)
        if self._tables is None or self._tables[0] != key:
            facts = pd.DataFrame.from_dict(facts_of(self.context), orient="index").reindex(self.context.runs)
            facts = facts.loc[:, facts.notna().any()] if len(facts.columns) else facts
            ends = end_values(self.context)
            self._tables = (key, facts, ends)
        return self._tables[1], self._tables[2]

    def _ranking(self, facts: pd.DataFrame, ends: pd.DataFrame, outcome: str) -> str:
        """Return the rank correlation of every numeric fact with the end value as HTML."""
        rows = []
        for name in facts.columns:
            values = as_numbers(facts[name])
            if values is not None:
                rows.append((name, rank_correlation(values, ends[outcome].to_numpy(float))))
        rows = [row for row in rows if np.isfinite(row[1].rho)]
        if not rows:
            return note("No rank correlation: no fact and the end value are both numbers that differ in three runs.")
        rows.sort(key=lambda row: -abs(row[1].rho))
        body = "".join(
            f"<tr><th>{escape(str(name))}</th><td>{r.rho:.2f}</td><td>{number(r.p)}</td><td>{r.runs}</td></tr>"
            for name, r in rows
        )
        head = "<tr><th>fact</th><th>Spearman’s ρ</th><th>p</th><th>runs</th></tr>"
        hint = note("p by permutation of the runs, of each pair alone: among twenty pairs one has p < 0.05 by chance.")
        return f"<h3>{escape(outcome)}</h3><table class='numbers'>{head}{body}</table>{hint}"


def end_values(context: Context) -> pd.DataFrame:
    """Return the numbers that sum up each run, and the last value of each metric, runs by quantity."""
    table = pd.DataFrame(index=context.runs)
    for name, run in context.collection.source.runs.items():
        for metric, array in run.metrics.data_vars.items():
            values = array.values[np.isfinite(array.values.astype(float))]
            table.loc[name, f"{metric}, last"] = float(values[-1]) if len(values) else np.nan
    for name, result in context.results.items():
        for array in headlines(result).values():
            values = np.broadcast_to(np.asarray(array.values, float), result.sizes.get("run", 1))
            runs = [str(run) for run in result["run"].values] if "run" in result.dims else context.runs[:1]
            if np.isfinite(values).any():
                table[f"{name}: {name_of(array)}"] = pd.Series(values, runs)
    return table


def _default_fact(facts: pd.DataFrame) -> str:
    """Return the fact that is shown first: a number that differs, not the seed; else any that differs."""
    differing = [str(name) for name in facts.columns if facts[name].astype(str).nunique() > 1]
    numeric = [name for name in differing if as_numbers(facts[name]) is not None]
    ordered = (
        [name for name in numeric if name != "seed"] + [name for name in differing if name not in numeric] + numeric
    )
    return next(iter([*ordered, *map(str, facts.columns)]), "")
