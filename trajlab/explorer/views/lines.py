"""Lines over the steps, one for each run."""

from collections.abc import Callable, Mapping

import numpy as np
from bokeh.models import ColumnDataSource, CustomJSHover, Legend, LegendItem, Range1d
from bokeh.plotting import figure

from trajlab.explorer.charts import hover, marker, plain, step_chart, style_legend
from trajlab.explorer.context import Context
from trajlab.explorer.reduction import envelope
from trajlab.explorer.views.heat_map import VALUE
from trajlab.figures.marks.labels import shorten

NAMED = 8
"""Runs up to which each has a color of its own and a place in the legend."""

LEGEND = 24
"""Characters of a name in the legend."""

Lines = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Steps and values by name."""


class LineChart:
    """Lines over the steps.

    Parameters
    ----------
    context
        What is selected.
    lines
        Steps and values of each run, by name.
    title, unit
        What they show.
    events
        Handlers of the brush, of clicks and of the reset.
    height
        Height in pixels.
    aside
        Lines for comparison, which are dashed.
    """

    def __init__(
        self,
        context: Context,
        lines: Lines,
        title: str,
        *,
        unit: str,
        events: dict[str, Callable[..., None]],
        height: int = 230,
        aside: Lines | None = None,
    ):
        axis, look = context.axis, context.look
        everything = np.concatenate([values[np.isfinite(values)] for _, values in lines.values()] or [np.empty(0)])
        log = bool(everything.size and (everything > 0).all() and everything.max() > 300 * everything.min())
        if not everything.size:
            title += " · unknown at every step"
        self.figure: figure = step_chart(
            look, axis, title, height=height, window=context.selection.window,
            y_axis_type="log" if log else "linear", **events,
        )  # fmt: skip
        self.figure.yaxis.axis_label = plain(unit)
        if not everything.size:
            self.figure.y_range = Range1d(0, 1)  # Bokeh warns of a range without values
        window = context.selection.window
        items = []
        for position, (name, line) in enumerate([*lines.items(), *(aside or {}).items()]):
            dashed = position >= len(lines)
            x, y, steps = thinned(context, *line, window)
            few, is_selected = len(lines) <= NAMED, len(lines) > NAMED and name == context.labels[context.run]
            color = look.categories[position % len(look.categories) if few or dashed else int(is_selected)]
            source = ColumnDataSource({"x": x, "y": y, "step": steps, "name": [name] * len(x)})
            drawn = self.figure.line(
                "x", "y", source=source, color=look.soft if dashed else color, line_width=2.4 if is_selected else 1.6,
                line_alpha=1.0 if few or dashed or is_selected else 0.45, line_dash="dashed" if dashed else "solid",
            )  # fmt: skip
            lone = ~np.isnan(y) & np.isnan(np.roll(y, 1)) & np.isnan(np.roll(y, -1)) if len(y) > 1 else ~np.isnan(y)
            if lone.any():
                self.figure.scatter(x[lone], y[lone], color=color, size=5)
            if few or dashed or is_selected:
                items.append(LegendItem(label={"value": shorten(name, LEGEND)}, renderers=[drawn]))
        tip = hover(
            [("", "@name"), ("step", "@step{0,0}"), ("value", "@y{custom}")],
            mode="mouse", line_policy="nearest", formatters={"@y": CustomJSHover(code=VALUE)},
        )  # fmt: skip
        self.figure.add_tools(tip)
        if len(items) > 1 or len(lines) > NAMED:
            self.figure.add_layout(Legend(items=items, click_policy="hide"), "right")
            style_legend(self.figure, look)
        self.line = marker(self.figure, look, float(axis.x(context.step)))


def thinned(
    context: Context, steps: np.ndarray, values: np.ndarray, window: tuple[int, int] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions, values and steps of the points of a line that a screen can show."""
    if window is not None:
        inside = np.flatnonzero((steps >= window[0]) & (steps <= window[1]))
        if len(inside):
            near = slice(max(0, inside[0] - 1), inside[-1] + 2)
            steps, values = steps[near], values[near]
    values = np.where(np.isfinite(values), values, np.nan).astype(np.float64)
    kept, shown = envelope(np.arange(len(steps)), values)
    return context.axis.x(steps[kept]), shown, steps[kept]
