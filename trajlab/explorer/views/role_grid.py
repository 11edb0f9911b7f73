"""The heat map of roles × blocks of a variable at a step."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from bokeh.models import ColumnDataSource, CustomJSHover, FixedTicker

from trajlab.explorer.charts import chart, color_mapper, hover, plain
from trajlab.explorer.context import Context
from trajlab.explorer.quantity import numbers, row_dim
from trajlab.explorer.views.heat_map import (
    MAX_PIXELS,
    MIN_PIXELS,
    NAME_AT,
    ROW_PIXELS,
    VALUE,
    color_bar,
    name_rows,
    nearest,
)
from trajlab.figures.marks.labels import shorten
from trajlab.figures.marks.scale import scale_for
from trajlab.statistics.roles import Grid, grid_of

BLOCKS, NARROW_BLOCKS = 32, 9
"""Blocks that are named at most, on a wide page and on a narrow one."""


class RoleGrid:
    """Roles × blocks of the selected variable of a run at the selected step."""

    def __init__(self, context: Context, on_tap: Callable[[float, float], None]):
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
        every = max(1, -(-len(blocks) // (NARROW_BLOCKS if context.look.narrow else BLOCKS)))
        self.figure.xaxis.ticker = FixedTicker(ticks=[i + 0.5 for i in range(0, len(blocks), every)])
        self.figure.xaxis.major_label_overrides = {
            i + 0.5: plain(shorten(labels[i], 20)) for i in range(0, len(blocks), every)
        }
        if max(map(len, labels)) > 4:
            self.figure.xaxis.major_label_orientation = 0.7
        name_rows(self.figure, context.look, roles)
        rows = numbers(part.transpose(row_dim(part), "step"))  # not those of folded modules, which are means
        self.scale = scale_for(xr.DataArray(rows, dims=("row", "step"), attrs=part.attrs), rows="row")
        mapper = color_mapper(self.scale, context.look)
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
    """Return the path of the module that holds all blocks, with a dot; empty if they have no common one.

    >>> commonprefix_of(["model.layers.0", "model.layers.1"]), commonprefix_of(["layer1.0", "layer2.0"])
    ('model.layers.', '')
    """
    stems = {block.rpartition(".")[0] for block in blocks}
    stem = stems.pop() if len(stems) == 1 else ""
    return f"{stem}." if stem else ""
