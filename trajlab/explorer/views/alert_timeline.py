"""Timeline of the alerts: which rule fires where, and at which steps."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import xarray as xr
from bokeh.models import ColumnDataSource

from trajlab.explorer.charts import hover, marker, step_chart
from trajlab.explorer.context import Context
from trajlab.explorer.quantity import numbers, of_run
from trajlab.explorer.views.heat_map import name_rows
from trajlab.statistics.wording import count

MOST = 24
"""Places that are shown: those where a rule fires first."""


class Alerts(NamedTuple):
    """Where rules fire in a run.

    Attributes
    ----------
    labels, places
        Rule and place of each row, and the place alone; the first to fire is the first.
    steps
        Recorded steps, (step).
    fires
        Whether the rule fires, (row, step).
    hidden
        Number of rows that are left out.
    """

    labels: list[str]
    places: list[str]
    steps: np.ndarray
    fires: np.ndarray
    hidden: int


def alerts_of(result: xr.Dataset, run: str, *, most: int = MOST) -> Alerts | None:
    """Return where rules fire in a run; None if the result lacks it."""
    fires = of_run(result["fires"], run)
    if fires is None:
        return None
    table = numbers(fires.transpose("check", "step")) == 1
    fired = np.flatnonzero(table.any(1))
    fired = fired[np.argsort(table[fired].argmax(1), kind="stable")]
    rules, places = result["rule_of"].values.astype(str), result["place_of"].values.astype(str)
    shown = fired[:most]
    return Alerts(
        [f"{rules[i]} · {places[i]}" if places[i] else rules[i] for i in shown], [places[i] for i in shown],
        fires["step"].values, table[shown], len(fired) - len(shown),
    )  # fmt: skip


class AlertTimeline:
    """Rows of alerts over the steps."""

    def __init__(self, context: Context, alerts: Alerts, events: dict[str, Callable[..., None]]):
        axis, look = context.axis, context.look
        title = f"alerts · {context.labels[context.run]}"
        title += f" · and {count(alerts.hidden, 'place')} more, see `trajlab alerts`" if alerts.hidden else ""
        rows = len(alerts.labels)
        self.places = alerts.places
        self.figure = step_chart(
            look, axis, title, height=90 + 16 * rows, window=context.selection.window, y_range=(rows, 0), **events
        )
        positions = axis.x(alerts.steps).astype(float)
        edges = np.concatenate([positions[:1], (positions[1:] + positions[:-1]) / 2, positions[-1:]])
        left, right, top, steps, names = [], [], [], [], []
        for row, fires in enumerate(alerts.fires):
            bounds = np.diff(np.concatenate([[0], fires.astype(int), [0]]))
            for first, after in zip(np.flatnonzero(bounds == 1), np.flatnonzero(bounds == -1), strict=True):
                left.append(float(edges[first]))
                right.append(float(edges[after]))
                top.append(row + 0.15)
                same = alerts.steps[first] == alerts.steps[after - 1]
                steps.append(f"{alerts.steps[first]:,}" + ("" if same else f" to {alerts.steps[after - 1]:,}"))
                names.append(alerts.labels[row])
        source = ColumnDataSource(
            {"left": left, "right": right, "top": top, "bottom": [t + 0.7 for t in top], "steps": steps, "name": names}
        )
        color = look.categories[1]
        self.figure.quad(
            "left", "right", "top", "bottom", source=source, fill_color=color, line_color=color, line_width=2
        )
        self.figure.add_tools(hover([("", "@name"), ("steps", "@steps")]))
        self.figure.ygrid.grid_line_color = None
        name_rows(self.figure, look, alerts.labels)
        self.line = marker(self.figure, look, float(axis.x(context.step)))

    def place_at(self, y: float) -> str:
        """Return the tensor or layer of a row; empty if there is none."""
        return self.places[int(y)] if 0 <= y < len(self.places) else ""
