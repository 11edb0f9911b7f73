"""What all views share: panes that are drawn anew only when what they show has changed."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

import pandas as pd
import panel as pn

from trajlab.explorer.context import Context


class View(Protocol):
    """A view of the page."""

    layout: Any

    def update(self) -> None:
        """Show the selection."""

    def table(self) -> pd.DataFrame:
        """Return the numbers behind the view."""


class Part:
    """A pane of a view.

    Parameters
    ----------
    pane
        What it stands in.
    """

    def __init__(self, pane: Any):
        self.pane = pane
        self.key: Hashable = None
        self.drawn: Any = None

    def show(self, key: Hashable, draw: Callable[[], Any]) -> Any:
        """Draw it if the key is another one than before, and return what was drawn; hide it if that is None.

        Parameters
        ----------
        key
            What the drawing depends on.
        draw
            Returns an object with the attribute `figure`, or None.
        """
        if key != self.key:
            self.key = key
            self.drawn = draw()
            self.pane.visible = self.drawn is not None
            self.pane.object = None if self.drawn is None else self.drawn.figure
        return self.drawn


def bokeh_part(*, stretches: bool = True) -> Part:
    """Return an empty pane for a figure: as wide as the page, or of the figure's own size."""
    sizing = {"sizing_mode": "stretch_width"} if stretches else {}
    return Part(pn.pane.Bokeh(None, visible=False, theme=None, **sizing))


def html(text: str, **options: Any) -> pn.pane.HTML:
    """Return a pane of HTML, which the caller has escaped."""
    return pn.pane.HTML(text, sizing_mode="stretch_width", **options)


def key_of(context: Context, *more: Hashable, results: Sequence[str] = ()) -> Hashable:
    """Return what most drawings depend on: the selection but for the step, and the results that they show.

    Parameters
    ----------
    context
        What is selected.
    more
        What else the drawing depends on.
    results
        Names of results besides that of the selected variable.
    """
    s = context.selection
    shown = tuple(context.collection.revision(name) for name in (context.quantity[0], *results))
    runs = context.run, tuple(context.chosen_runs), context.collection.runs.readings
    return (context.quantity, tuple(sorted(s.at.items())), runs, s.window, shown, *more)
