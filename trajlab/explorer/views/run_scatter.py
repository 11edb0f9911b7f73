"""A fact against an end value, a point for each run."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from bokeh.models import ColumnDataSource, CustomJSHover, FixedTicker, TapTool

from trajlab.explorer.charts import chart, hover, plain, style_legend
from trajlab.explorer.context import Context
from trajlab.explorer.quantity import text_of
from trajlab.explorer.rank_correlation import rank_correlation
from trajlab.explorer.views.heat_map import VALUE
from trajlab.explorer.views.run_colors import as_numbers, run_colors
from trajlab.figures.marks.labels import shorten
from trajlab.statistics.wording import number

DECADES = 30
"""Ratio of the largest to the smallest value beyond which an axis is logarithmic."""


def spans_decades(values: np.ndarray) -> bool:
    """Return whether an axis of these values is logarithmic."""
    finite = values[np.isfinite(values)]
    return bool(finite.size and (finite > 0).all() and finite.max() > DECADES * finite.min())


class Scatter:
    """A fact against an end value.

    Parameters
    ----------
    context
        What is selected.
    fact, outcome
        What the axes show, (run).
    color
        Fact that colors the runs; None for none.
    on_run
        Called with the run of a point that is clicked.
    """

    def __init__(
        self,
        context: Context,
        fact: pd.Series,
        outcome: pd.Series,
        color: pd.Series | None,
        on_run: Callable[[str], None],
    ):
        look, y = context.look, outcome.to_numpy(float)
        values = as_numbers(fact)
        labels = list(dict.fromkeys(map(text_of, fact)))
        x = np.array([labels.index(text_of(value)) for value in fact], float) if values is None else values
        colors = run_colors(look, color, len(x))
        source = ColumnDataSource(
            {"x": x, "y": y, "name": [context.labels[run] for run in fact.index], "fact": [text_of(v) for v in fact],
             "group": colors.groups, "color": colors.colors}
        )  # fmt: skip
        tips = [("", "@name"), (str(fact.name), "@fact"), ("end value", "@y{custom}")]
        tips += [(str(color.name), "@group")] if color is not None else []
        self.figure = chart(
            look, _correlation(None if values is None else x, y), height=380,
            x_axis_type="log" if values is not None and spans_decades(x) else "linear",
            y_axis_type="log" if spans_decades(y) else "linear",
            tools=[hover(tips, formatters={"@y": CustomJSHover(code=VALUE)}), TapTool()],
        )  # fmt: skip
        legend = {"legend_group": "group"} if colors.is_named else {}
        self.figure.scatter("x", "y", source=source, size=10, color="color", fill_alpha=0.8, **legend)
        if colors.is_named and color is not None:
            style_legend(self.figure, look, title=str(color.name), beside=True)
        self.figure.xaxis.axis_label = plain(str(fact.name))
        self.figure.yaxis.axis_label = plain(shorten(str(outcome.name), 46))
        if values is None:
            self.figure.xaxis.ticker = FixedTicker(ticks=list(range(len(labels))))
            self.figure.xaxis.major_label_overrides = {i: plain(shorten(label, 20)) for i, label in enumerate(labels)}
        runs = [str(run) for run in fact.index]
        source.selected.on_change("indices", lambda attr, old, new: on_run(runs[new[0]]) if new else None)


def _correlation(x: np.ndarray | None, y: np.ndarray) -> str:
    """Write the rank correlation of a fact, None if it has no order, with an end value."""
    if x is None:
        return "no rank correlation: the fact has no order"
    correlation = rank_correlation(x, y)
    if not np.isfinite(correlation.rho):
        return "no rank correlation: too few different values"
    rho, p, count = correlation
    return f"Spearman’s ρ = {rho:.2f}, p = {number(p)} by permutation, {count} runs"
