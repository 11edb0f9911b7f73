"""The heat map of rows × steps of a variable, and that of roles × blocks at a step."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from bokeh.models import ColorBar, ColumnDataSource, CustomJSHover, FixedTicker
from bokeh.plotting import figure

from trajlab.explorer.context import Context
from trajlab.explorer.look import chart, color_mapper, hover, marker, plain, step_chart
from trajlab.explorer.quantity import numbers, row_dim
from trajlab.explorer.reduction import columns, summary
from trajlab.explorer.rows import Row, rows_of
from trajlab.figures.marks.labels import name_of, shorten
from trajlab.figures.marks.scale import Scale, scale_for
from trajlab.statistics.roles import Grid, grid_of

NAMES = 46
"""Rows that are named; of more, every n-th."""

LONGEST = 38
"""Characters of a name."""

ROW_PIXELS, MIN_PIXELS, MAX_PIXELS = 15, 150, 640

VALUE = "return Number.isFinite(value) ? String(Number(value.toPrecision(5))) : 'unknown'"
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
        title = f"{name_of(part)} · {context.labels[context.run]}"
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
        name_rows(self.figure, [row.label for row in self.rows])
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


def name_rows(chart: figure, names: list[str]) -> None:
    """Put names beside rows that are counted from the top."""
    every = max(1, -(-len(names) // NAMES))
    shown = range(0, len(names), every)
    chart.yaxis.ticker = FixedTicker(ticks=[i + 0.5 for i in shown])
    chart.yaxis.major_label_overrides = {i + 0.5: plain(shorten(names[i], LONGEST)) for i in shown}
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


class RoleGrid:
    """Roles × blocks of the selected variable of a run at the selected step."""

    def __init__(self, context: Context, scale: Scale, on_tap: Callable[[float, float], None]):
        part = context.part(context.run)
        self.grid = grid_of(context.names)
        if self.grid is None or part is None:
            raise ValueError("there are no repeated blocks")
        self.part, self.context = part, context
        roles, blocks = self.grid.roles, self.grid.blocks
        tip = hover([("role", "$y{custom}"), ("block", "$x{custom}"), ("value", "@value{custom}")], formatters={
            "$y": CustomJSHover(args={"names": roles}, code=NAME_AT),
            "$x": CustomJSHover(args={"names": blocks}, code=NAME_AT),
            "@value": CustomJSHover(code=VALUE),
        })  # fmt: skip
        height = int(np.clip(ROW_PIXELS * len(roles), MIN_PIXELS, MAX_PIXELS)) + 70
        self.figure = chart(
            context.look, "", height=height, tools=[tip], x_range=(0, len(blocks)), y_range=(len(roles), 0)
        )
        self.figure.on_event("tap", lambda event: on_tap(event.x, event.y))
        self.figure.grid.grid_line_color = None
        self.figure.xaxis.axis_label = "block"
        labels = [block.removeprefix(commonprefix_of(blocks)) for block in blocks]
        every = max(1, -(-len(blocks) // 32))
        self.figure.xaxis.ticker = FixedTicker(ticks=[i + 0.5 for i in range(0, len(blocks), every)])
        self.figure.xaxis.major_label_overrides = {
            i + 0.5: plain(shorten(labels[i], 20)) for i in range(0, len(blocks), every)
        }
        if max(map(len, labels)) > 4:
            self.figure.xaxis.major_label_orientation = 0.7
        name_rows(self.figure, roles)
        self.scale = scale
        mapper = color_mapper(scale, context.look)
        self.source = ColumnDataSource(self._data())
        self.figure.image("image", "x", "y", "dw", "dh", source=self.source, color_mapper=mapper)
        self.figure.add_layout(color_bar(mapper, context), "right")
        self.at_step()

    def at_step(self) -> None:
        """Show the selected step."""
        self.source.data = self._data()
        step = int(self.part["step"].values[nearest(self.part, self.context.step)])
        self.figure.title.text = plain(f"by role and block · step {step:,}")

    def _data(self) -> dict[str, list[Any]]:
        grid: Grid = self.grid  # type: ignore[assignment]
        values = numbers(self.part.isel(step=nearest(self.part, self.context.step)))
        shown = np.where(grid.members >= 0, values[grid.members], np.nan)
        return {
            "image": [self.scale.show(shown)], "value": [shown], "x": [0], "y": [0],
            "dw": [len(grid.blocks)], "dh": [len(grid.roles)],
        }  # fmt: skip

    def name_at(self, x: float, y: float) -> str:
        """Return the parameter at a point; empty if there is none."""
        grid: Grid = self.grid  # type: ignore[assignment]
        if not (0 <= x < len(grid.blocks) and 0 <= y < len(grid.roles)):
            return ""
        member = grid.members[int(y), int(x)]
        return self.context.names[member] if member >= 0 else ""


def commonprefix_of(blocks: list[str]) -> str:
    """Return the modules that all blocks lie in, with the dot after them.

    >>> commonprefix_of(["model.layers.0", "model.layers.1"]), commonprefix_of(["layer1.0", "layer2.0"])
    ('model.layers.', '')
    """
    stems = {block.rpartition(".")[0] for block in blocks}
    stem = stems.pop() if len(stems) == 1 else ""
    return f"{stem}." if stem else ""


def nearest(part: xr.DataArray | xr.Dataset, step: int) -> int:
    """Return the position of the recorded step that is nearest to a step."""
    return int(np.argmin(np.abs(part["step"].values - step)))
