"""The heat map of rows × steps of a variable."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from bokeh.models import ColorBar, ColumnDataSource, CustomJSHover, FixedTicker
from bokeh.plotting import figure

from trajlab.explorer.charts import color_mapper, hover, marker, plain, step_chart
from trajlab.explorer.context import Context
from trajlab.explorer.look import Look
from trajlab.explorer.quantity import numbers, row_dim
from trajlab.explorer.reduction import columns, summary
from trajlab.explorer.rows import Row, rows_of, short_labels
from trajlab.figures.marks.labels import name_of
from trajlab.figures.marks.scale import scale_for

NAMES = 46
"""Rows that are named; of more, every n-th."""

LONGEST, NARROW_LONGEST = 38, 24
"""Characters of a name, on a wide page and on a narrow one."""

ROW_PIXELS, MIN_PIXELS, MAX_PIXELS = 15, 150, 640

VALUE = """
  return Number.isFinite(value) ? String(Number(value.toPrecision(5))) : Number.isNaN(value) ? 'unknown' : String(value)
"""
"""Value under the pointer."""

NAME_AT = "return String(names[Math.max(0, Math.min(names.length - 1, Math.floor(value)))] ?? '')"
"""Row under the pointer; Bokeh inserts it as text."""


class HeatMap:
    """Rows × steps of the selected variable of a run.

    Attributes
    ----------
    rows
        The rows, from top to bottom.
    figure
        What is drawn.
    """

    def __init__(self, context: Context, events: dict[str, Callable[..., None]]):
        self.rows: list[Row] = []
        part = context.part(context.run)
        selection = context.selection
        if part is None:
            raise ValueError("there is no variable")
        dim = row_dim(part)
        self.rows = rows_of(
            [str(name) for name in part[dim].values], mode=selection.mode, opened=selection.opened,
            pattern=selection.find,
        )  # fmt: skip
        values = grouped(numbers(part.transpose(dim, "step")), self.rows, selection.way)
        axis = context.axis
        low, high = axis.limits(selection.window)
        x = axis.x(part["step"].values)
        self.scale = scale_for(xr.DataArray(values, dims=("row", "step"), attrs=part.attrs), rows="row")
        shown = columns(values, x, low, high, way=selection.way)
        image = self.scale.show(shown)
        height = int(np.clip(ROW_PIXELS * len(self.rows), MIN_PIXELS, MAX_PIXELS))
        names = [row.name if row.folded else row.label for row in self.rows]
        tip = hover(
            [("", "$y{custom}"), ("step", "$x{custom}"), ("value", "@value{custom}")],
            formatters={
                "$y": CustomJSHover(args={"names": names}, code=NAME_AT),
                "$x": step_formatter(axis),
                "@value": CustomJSHover(code=VALUE),
            },
        )  # fmt: skip
        ends = {np.inf: "∞ has the color of the largest", -np.inf: "−∞ that of the smallest"}
        infinite = [text for end, text in ends.items() if (values == end).any()]
        title = "\n".join([f"{name_of(part)} · {context.labels[context.run]}", *infinite])
        self.figure = step_chart(
            context.look,
            axis,
            title,
            height=height + 90,
            window=selection.window,
            y_range=(len(self.rows), 0),
            **events,
        )
        self.figure.add_tools(tip)
        mapper = color_mapper(self.scale, context.look)
        self.source = ColumnDataSource(
            {"image": [image], "value": [shown], "x": [low], "y": [0], "dw": [high - low], "dh": [len(self.rows)]}
        )
        self.figure.image("image", "x", "y", "dw", "dh", source=self.source, color_mapper=mapper)
        self.figure.grid.grid_line_color = None
        name_rows(self.figure, context.look, [row.label for row in self.rows])
        self.figure.add_layout(color_bar(mapper, context), "right")
        self.line = marker(self.figure, context.look, float(axis.x(context.step)))

    def row_at(self, y: float) -> Row | None:
        """Return the row at a height."""
        return self.rows[int(y)] if 0 <= y < len(self.rows) else None


def grouped(values: np.ndarray, rows: list[Row], way: str) -> np.ndarray:
    """Reduce the parameters of each row, (parameter, step), to (row, step)."""
    if not rows:
        return np.empty((0, values.shape[1]))
    return np.stack(
        [values[row.members[0]] if len(row.members) == 1 else summary(values[list(row.members)].T, way) for row in rows]
    )


def name_rows(chart: figure, look: Look, names: list[str]) -> None:
    """Put names beside rows that are counted from the top."""
    every = max(1, -(-len(names) // NAMES))
    labels = short_labels(names, NARROW_LONGEST if look.narrow else LONGEST)
    shown = range(0, len(names), every)
    chart.yaxis.ticker = FixedTicker(ticks=[i + 0.5 for i in shown])
    chart.yaxis.major_label_overrides = {i + 0.5: plain(labels[i]) for i in shown}
    chart.yaxis.major_tick_line_color = None


def color_bar(mapper: Any, context: Context) -> ColorBar:
    """Return the bar that says which color is which value."""
    look = context.look
    return ColorBar(
        color_mapper=mapper, width=10, padding=8, background_fill_color=None, major_label_text_color=look.soft,
        major_tick_line_color=None, bar_line_color=None, major_label_text_font_size="11px",
    )  # fmt: skip


def step_formatter(axis: Any) -> CustomJSHover:
    """Return what writes the step that is nearest to the pointer."""
    code = """
      let best = 0
      for (let i = 1; i < x.length; i++) if (Math.abs(x[i] - value) < Math.abs(x[best] - value)) best = i
      return String(steps[best])
    """
    return CustomJSHover(args={"x": axis.x(axis.steps).tolist(), "steps": axis.steps.tolist()}, code=code)


def nearest(part: xr.DataArray | xr.Dataset, step: int) -> int:
    """Return the position of the recorded step that is nearest to a step."""
    return int(np.argmin(np.abs(part["step"].values - step)))
