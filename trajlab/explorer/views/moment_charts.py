"""Charts of two moments: the change of a variable by layer, and the histograms of a parameter."""

import numpy as np
import pandas as pd
from bokeh.models import ColumnDataSource, CustomJSHover

from trajlab.explorer.charts import chart, hover, style_legend
from trajlab.explorer.context import Context
from trajlab.explorer.views.heat_map import VALUE, name_rows
from trajlab.statistics.wording import count

MOST = 25
"""Layers that are listed."""


class Bars:
    """Change of a variable between two moments, for the layers that changed most."""

    def __init__(self, context: Context, table: pd.DataFrame, title: str):
        is_known = np.isfinite(table["change"])
        look, shown = context.look, table[is_known].head(MOST)
        names = [str(name) for name in shown.index]
        source = ColumnDataSource(
            {"y": np.arange(len(names)) + 0.5, "change": shown["change"].values, "a": shown["a"].values,
             "b": shown["b"].values, "name": names}
        )  # fmt: skip
        formatters = {f"@{name}": CustomJSHover(code=VALUE) for name in ("a", "b", "change")}
        tips = [("", "@name"), ("a", "@a{custom}"), ("b", "@b{custom}"), ("change", "@change{custom}")]
        more = f" · the {MOST} largest of {is_known.sum()}" if is_known.sum() > MOST else ""
        if not is_known.all():
            more += f"\nunknown or infinite in {count(len(table) - int(is_known.sum()), 'layer')}"
        height = 100 + 16 * len(names)
        self.figure = chart(
            look, f"{title}: b − a{more}", height=height, tools=[hover(tips, formatters=formatters)],
            y_range=(len(names), 0),
        )  # fmt: skip
        self.figure.hbar(y="y", right="change", left=0, height=0.7, source=source, color=look.categories[0])
        self.figure.ygrid.grid_line_color = None
        name_rows(self.figure, look, names)


class TwoHistograms:
    """Histogram of a parameter at b, with that at a as an outline."""

    def __init__(self, context: Context, edges: np.ndarray, counts: np.ndarray):
        look = context.look
        density = counts / np.diff(edges)
        source = ColumnDataSource({"left": edges[:-1], "right": edges[1:], "top": density[1], "entries": counts[1]})
        tip = hover([("from", "@left"), ("to", "@right"), ("entries in b", "@entries{0,0}")])
        self.figure = chart(look, f"values of {context.row}", height=300, tools=[tip], half=True)
        self.figure.quad(
            "left", "right", "top", 0, source=source, fill_color=look.categories[0], line_color=None, fill_alpha=0.75,
            legend_label="b",
        )  # fmt: skip
        self.figure.step(
            edges,
            np.append(density[0], density[0][-1:]),
            mode="after",
            color=look.ink,
            line_width=1.2,
            legend_label="a",
        )
        self.figure.xaxis.axis_label, self.figure.yaxis.axis_label = "value", "entries per unit"
        style_legend(self.figure, look)
        self.figure.y_range.start = 0
