"""A sheet of pictures: rows of samples or units, columns of steps."""

from collections.abc import Callable, Sequence

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker

from trajlab.explorer.charts import chart, hover, plain
from trajlab.explorer.context import Context

GAP = 0.06
"""Space between tiles, as a share of their width."""

TILE_PIXELS = 84
"""Height of a row, and width of a column."""


class TileSheet:
    """Pictures in rows and columns.

    Parameters
    ----------
    context
        What is selected.
    tiles
        Rows of pictures, (y, x, 3) each, from 0 to 1.
    title
        What they show.
    rows, columns
        Names of the rows, and of the columns.
    on_column
        Called with the position of the column that is clicked.
    """

    def __init__(
        self,
        context: Context,
        tiles: Sequence[Sequence[np.ndarray]],
        title: str,
        *,
        rows: Sequence[str],
        columns: Sequence[str],
        on_column: Callable[[int], None],
    ):
        cells = [(row, column) for row in range(len(rows)) for column in range(len(columns))]
        source = ColumnDataSource(
            {"image": [rgba(tiles[row][column]) for row, column in cells],
             "x": [column for _, column in cells], "y": [row for row, _ in cells],
             "row": [rows[row] for row, _ in cells], "column": [columns[column] for _, column in cells]}
        )  # fmt: skip
        self.figure = chart(
            context.look, title, height=TILE_PIXELS, tools=[hover([("", "@row"), ("", "@column")])],
            x_range=(-GAP, len(columns)), y_range=(len(rows), -GAP), x_axis_location="above",
        )  # fmt: skip
        self.figure.update(
            sizing_mode=None, height=None, frame_height=TILE_PIXELS * len(rows),
            frame_width=TILE_PIXELS * len(columns), frame_align=False,
        )  # fmt: skip
        self.figure.image_rgba("image", "x", "y", dw=1 - GAP, dh=1 - GAP, source=source)
        self.figure.grid.grid_line_color = None
        self.figure.axis.major_tick_line_color = None
        for axis, names in ((self.figure.xaxis, columns), (self.figure.yaxis, rows)):
            axis.ticker = FixedTicker(ticks=[i + 0.5 - GAP / 2 for i in range(len(names))])
            axis.major_label_overrides = {i + 0.5 - GAP / 2: plain(name) for i, name in enumerate(names)}
        self.figure.on_event("tap", lambda event: on_column(int(event.x)) if 0 <= event.x < len(columns) else None)


def rgba(picture: np.ndarray) -> np.ndarray:
    """Return a picture, (y, x, 3) from 0 to 1, as 32-bit colors, (y, x).

    >>> hex(rgba(np.array([[[1.0, 0.5, 0.0]]]))[0, 0])
    '0xff0080ff'
    """
    colors = np.full((*picture.shape[:2], 4), 255, np.uint8)
    colors[..., :3] = np.round(255 * np.clip(picture, 0, 1))
    return colors.view("<u4")[..., 0]
