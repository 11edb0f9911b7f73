"""Facts and end values of all runs as parallel coordinates."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from bokeh.models import ColumnDataSource, FixedTicker, TapTool
from matplotlib.ticker import LogLocator, MaxNLocator

from trajlab.explorer.charts import chart, hover, plain, style_legend
from trajlab.explorer.context import Context
from trajlab.explorer.quantity import text_of
from trajlab.explorer.views.run_colors import as_numbers, run_colors
from trajlab.explorer.views.run_scatter import spans_decades
from trajlab.figures.marks.labels import shorten

MOST_AXES = 8
"""Axes that are drawn: those of the end value and of the facts that differ."""

MOST_TICKS = 12
"""Values of a fact that has no order that are named on its axis."""

NAME, ALL_NAMES = 26, 136
"""Characters of the name of an axis, and of the names of all axes beside each other."""


class ParallelCoordinates:
    """An axis for each fact that differs and for an end value, and a line for each run.

    Parameters
    ----------
    context
        What is selected.
    facts
        Facts, runs by name.
    outcome
        End value, (run); its axis is the last.
    color
        Fact that colors the runs; None for none.
    on_run
        Called with the run of a line that is clicked.
    """

    def __init__(
        self,
        context: Context,
        facts: pd.DataFrame,
        outcome: pd.Series,
        color: pd.Series | None,
        on_run: Callable[[str], None],
    ):
        look = context.look
        differing = [name for name in facts.columns if facts[name].map(text_of).nunique() > 1]
        shown = [facts[name] for name in differing[: MOST_AXES - 1]] + [outcome]
        hidden = len(differing) - MOST_AXES + 1
        axes = [_axis(column) for column in shown]
        heights = np.stack([height for height, _ in axes], axis=1)
        colors = run_colors(look, color, len(facts))
        runs = [str(run) for run in facts.index]
        source = ColumnDataSource(
            {"xs": [list(range(len(axes)))] * len(runs), "ys": [row.tolist() for row in heights],
             "name": [context.labels[run] for run in runs], "group": colors.groups, "color": colors.colors,
             "values": [" · ".join(f"{column.name} {text_of(column.iloc[i])}" for column in shown)
                        for i in range(len(runs))]}
        )  # fmt: skip
        title = "each line is a run" + (f" · {hidden} more facts differ, see the table" if hidden > 0 else "")
        self.figure = chart(
            look, title, height=460 if look.narrow else 340,
            tools=[hover([("", "@name"), ("", "@values")], line_policy="interp"), TapTool()],
            x_range=(-0.35, len(axes) - 0.65), y_range=(-0.08, 1.08),
        )  # fmt: skip
        self.figure.grid.grid_line_color = None
        self.figure.yaxis.visible = False
        self.figure.xaxis.ticker = FixedTicker(ticks=list(range(len(axes))))
        longest = NAME if look.narrow else min(NAME, ALL_NAMES // len(axes))
        self.figure.xaxis.major_label_overrides = {i: plain(shorten(str(c.name), longest)) for i, c in enumerate(shown)}
        self.figure.xaxis.major_label_orientation = "vertical" if look.narrow else "horizontal"
        self.figure.xaxis.major_label_text_color = look.ink
        legend = {"legend_group": "group"} if colors.is_named else {}
        self.figure.multi_line(
            "xs", "ys", source=source, color="color", line_width=2, line_alpha=0.75, nonselection_line_alpha=0.25,
            **legend,
        )  # fmt: skip
        for position, (_, ticks) in enumerate(axes):
            is_last = position == len(axes) - 1  # to its right, names would be cut off
            self.figure.line([position, position], [0, 1], color=look.soft, line_width=1)
            self.figure.text(
                [position] * len(ticks), list(ticks.values()), text=[shorten(text, 16) for text in ticks],
                x_offset=-5 if is_last else 5, text_align="right" if is_last else "left", text_baseline="middle",
                text_color=look.ink, text_font_size="11px", padding=2, background_fill_color=look.card,
                background_fill_alpha=0.75,
            )  # fmt: skip
        if colors.is_named and color is not None:
            style_legend(self.figure, look, title=str(color.name), beside=True)
        source.selected.on_change("indices", lambda attr, old, new: on_run(runs[new[0]]) if new else None)


def _axis(column: pd.Series) -> tuple[np.ndarray, dict[str, float]]:
    """Return the heights of the runs on an axis from 0 to 1, NaN where a run lacks the value, and its named ticks."""
    values = as_numbers(column)
    if values is None:
        kinds = list(dict.fromkeys(map(text_of, column)))
        steps = dict(zip(kinds, np.linspace(0, 1, len(kinds)) if len(kinds) > 1 else [0.5], strict=True))
        every = -(-len(kinds) // MOST_TICKS)
        return np.array([steps[text_of(value)] for value in column]), {k: float(steps[k]) for k in kinds[::every]}
    finite = values[np.isfinite(values)]
    if not finite.size:
        return values, {}
    is_log = spans_decades(values)
    low, high = float(finite.min()), float(finite.max())
    ticks = (LogLocator(numticks=6) if is_log else MaxNLocator(5, steps=[1, 2, 5, 10])).tick_values(low, high)
    ticks = [tick for tick in ticks if low <= tick <= high] if high > low else [low]

    def height(x: np.ndarray) -> np.ndarray:
        if high == low:
            return np.where(np.isfinite(x), 0.5, np.nan)
        return (np.log(x / low) / np.log(high / low)) if is_log else (x - low) / (high - low)

    return height(values), {f"{tick:g}": float(height(np.array(tick))) for tick in ticks}
