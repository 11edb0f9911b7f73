"""Runs: their facts and end values, and a fact against an end value."""

from html import escape
from typing import Any

import numpy as np
import pandas as pd
import panel as pn
from bokeh.models import ColumnDataSource, CustomJSHover, FixedTicker

from trajlab.explorer.context import Context
from trajlab.explorer.look import chart, hover, plain
from trajlab.explorer.quantity import text_of
from trajlab.explorer.rank_correlation import rank_correlation
from trajlab.explorer.style import widget_style
from trajlab.explorer.views.heat_map import VALUE
from trajlab.explorer.views.view import bokeh_part, html, note
from trajlab.figures.marks.labels import name_of, shorten
from trajlab.figures.marks.scale import scale_for
from trajlab.reports.findings import headlines
from trajlab.statistics.wording import number

MOST_COLORS = 8
"""Values of a fact that have a color each; of more, numbers are shown on a scale."""

DECADES = 30
"""Ratio of the largest to the smallest value beyond which an axis is logarithmic."""


class Runs:
    """Facts and end values of all runs."""

    def __init__(self, context: Context):
        self.context = context
        self._tables: tuple[Any, pd.DataFrame, pd.DataFrame] | None = None
        style = {"stylesheets": [widget_style(context.look)], "width": 260}
        self.fact = pn.widgets.Select(label="fact (x)", **style)
        self.outcome = pn.widgets.Select(label="end value (y)", **style)
        self.color = pn.widgets.Select(label="color", **style)
        self.scatter, self.ranking, self.missing = bokeh_part(), html(""), html("")
        self.grid = pn.widgets.Tabulator(
            pd.DataFrame(), disabled=True, pagination="local", page_size=20, sizing_mode="stretch_width",
            theme="midnight" if context.look.paper.startswith("#1") else "simple", selectable=False,
        )  # fmt: skip
        self.layout = pn.Column(
            self.missing, self.grid, pn.Row(self.fact, self.outcome, self.color),
            pn.Row(self.scatter.pane, self.ranking, sizing_mode="stretch_width"), sizing_mode="stretch_width",
        )  # fmt: skip
        self._showing = False
        for widget, name in ((self.fact, "fact"), (self.outcome, "outcome"), (self.color, "color")):
            widget.param.watch(lambda event, name=name: self._set(**{name: event.new or ""}), "value")

    def _set(self, **values: str) -> None:
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
            self.color.param.update(options=["", *facts.columns], value=s.color if s.color in facts else "")
        finally:
            self._showing = False
        for widget in (self.fact, self.outcome, self.color):
            widget.visible = several and bool(fact and outcome)
        key = (fact, outcome, s.color, tuple(self.context.results))
        self.scatter.show(
            key, lambda: self._scatter(facts, ends, fact, outcome) if several and fact and outcome else None
        )
        self.ranking.object = self._ranking(facts, ends, outcome) if several and outcome else ""

    def table(self) -> pd.DataFrame:
        """Return facts and end values of all runs."""
        return pd.concat(self._facts_and_ends(), axis=1)

    def _facts_and_ends(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        key = tuple((name, id(result)) for name, result in self.context.results.items())
        if self._tables is None or self._tables[0] != key:
            facts = pd.DataFrame.from_dict(self.context.facts(), orient="index").reindex(self.context.runs)
            facts = facts.loc[:, facts.notna().any()] if len(facts.columns) else facts
            ends = end_values(self.context)
            self._tables = (key, facts, ends)
            shown = pd.concat([facts.map(text_of) if len(facts.columns) else facts, ends], axis=1)
            titles = {str(column): escape(str(column)) for column in shown.columns}
            shown.index.name = "run"
            shown[ends.columns] = ends.map(lambda value: float(f"{value:.4g}"))
            formatters = dict.fromkeys(map(str, shown.columns), {"type": "plaintext"})
            self.grid.param.update(titles=titles, formatters=formatters, frozen_columns=["run"], value=shown)
        return self._tables[1], self._tables[2]

    def _scatter(self, facts: pd.DataFrame, ends: pd.DataFrame, fact: str, outcome: str) -> "Scatter":
        color = self.context.selection.color
        return Scatter(self.context, facts[fact], ends[outcome], facts[color] if color in facts else None)

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


def as_numbers(column: pd.Series) -> np.ndarray | None:
    """Return a fact as numbers, (run), NaN where a run lacks it; None if one is not a number."""
    try:
        texts = [np.nan if value is None or value == "" else float(value) for value in column]
    except (TypeError, ValueError):
        return None
    return np.array(texts, np.float64)


def _default_fact(facts: pd.DataFrame) -> str:
    """Return the fact that is shown first: a number that differs, not the seed; else any that differs."""
    differing = [str(name) for name in facts.columns if facts[name].astype(str).nunique() > 1]
    numeric = [name for name in differing if as_numbers(facts[name]) is not None]
    ordered = (
        [name for name in numeric if name != "seed"] + [name for name in differing if name not in numeric] + numeric
    )
    return next(iter([*ordered, *map(str, facts.columns)]), "")


def _spans_decades(values: np.ndarray) -> bool:
    finite = values[np.isfinite(values)]
    return bool(finite.size and (finite > 0).all() and finite.max() > DECADES * finite.min())


class Scatter:
    """A fact against an end value, a point for each run."""

    def __init__(self, context: Context, fact: pd.Series, outcome: pd.Series, color: pd.Series | None):
        look = context.look
        values = as_numbers(fact)
        labels = list(dict.fromkeys(map(text_of, fact)))
        x = np.array([labels.index(text_of(value)) for value in fact], float) if values is None else values
        positive = values is not None and _spans_decades(x)
        names = [context.labels[run] for run in fact.index]
        groups = ["" if color is None else text_of(value) for value in color] if color is not None else [""] * len(x)
        kinds = list(dict.fromkeys(groups))
        many = len(kinds) > MOST_COLORS
        numeric = as_numbers(color) if color is not None and many else None
        colors = [look.categories[kinds.index(group) % len(look.categories)] for group in groups]
        if numeric is not None:
            from matplotlib.colors import to_hex
            from xarray import DataArray

            scale = scale_for(DataArray(numeric))
            colors = [
                to_hex(scale.colors(float(np.clip(scale.norm(v), 0, 1)))) if np.isfinite(v) else look.missing
                for v in numeric
            ]
        source = ColumnDataSource(
            {"x": x, "y": outcome.to_numpy(float), "name": names, "fact": [text_of(v) for v in fact], "group": groups,
             "color": colors}
        )  # fmt: skip
        tips = [("", "@name"), (str(fact.name), "@fact"), ("end value", "@y{custom}")]
        tips += [(str(color.name), "@group")] if color is not None else []
        self.figure = chart(
            look, "", height=380, x_axis_type="log" if positive else "linear",
            y_axis_type="log" if _spans_decades(outcome.to_numpy(float)) else "linear",
            tools=[hover(tips, formatters={"@y": CustomJSHover(code=VALUE)})],
        )  # fmt: skip
        self.figure.scatter("x", "y", source=source, size=10, color="color", fill_alpha=0.8, **(
            {"legend_group": "group"} if color is not None and not many else {}
        ))  # fmt: skip
        if color is not None and not many:
            self.figure.legend.title = plain(str(color.name))
            self.figure.legend.background_fill_alpha, self.figure.legend.border_line_color = 0.0, None
            self.figure.legend.label_text_color = self.figure.legend.title_text_color = look.ink
            self.figure.add_layout(self.figure.legend[0], "right")
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = (
            plain(str(fact.name)),
            plain(shorten(str(outcome.name), 52)),
        )
        if values is None:
            self.figure.xaxis.ticker = FixedTicker(ticks=list(range(len(labels))))
            self.figure.xaxis.major_label_overrides = {i: plain(shorten(label, 20)) for i, label in enumerate(labels)}
        correlation = None if values is None else rank_correlation(x, outcome.to_numpy(float))
        if correlation is None or not np.isfinite(correlation.rho):
            text = "no rank correlation: " + ("the fact has no order" if values is None else "too few different values")
        else:
            rho, p, count = correlation
            text = f"Spearman’s ρ = {rho:.2f}, p = {number(p)} by permutation, {count} runs"
        self.figure.title.text = plain(text)
