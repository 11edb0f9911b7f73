"""The page: controls on the left, views on the right, and their state in its address."""

import logging
from html import escape
from importlib import import_module
from io import StringIO
from typing import Any
from urllib.parse import parse_qs, urlencode

import panel as pn
from bokeh.core.validation import silence
from bokeh.core.validation.warnings import EMPTY_LAYOUT

from trajlab.errors import TrajlabError
from trajlab.explorer.arrays import Arrays
from trajlab.explorer.code import code_of, coded_quantity, computing_code
from trajlab.explorer.context import Context
from trajlab.explorer.controls import Controls
from trajlab.explorer.csv_text import csv_text
from trajlab.explorer.look import LOOKS
from trajlab.explorer.markup import note
from trajlab.explorer.result_collection import ResultCollection
from trajlab.explorer.selection import (
    BEFORE,
    FIELDS,
    LAYER,
    MOMENTS,
    OVERVIEW,
    RUNS,
    SAMPLES,
    Selection,
    from_query,
    to_query,
)
from trajlab.explorer.style import NARROW, style_of, widget_style
from trajlab.explorer.views.view import html

silence(EMPTY_LAYOUT)  # views that are not open yet, and a variable without further dims, are empty columns

VIEWS = {
    OVERVIEW: "overview.Overview",
    LAYER: "layer.Layer",
    MOMENTS: "moments.Moments",
    RUNS: "runs.Runs",
    BEFORE: "before.Before",
    SAMPLES: "samples.Samples",
}
"""Module and class of each view by name; a view is imported when it is first opened."""

TICK = 500
"""Milliseconds between looks at what was computed, and at the address."""


class Page:
    """A page of one visitor.

    Parameters
    ----------
    collection
        What is shown; all visitors share it.
    arrays
        Loaded parts of results, which they share, too.
    theme
        Name of the colors, light or dark.
    narrow
        Whether the window is as narrow as a phone.

    Attributes
    ----------
    layout
        The page as a Panel object.
    selection
        What is selected.
    """

    def __init__(self, collection: ResultCollection, arrays: Arrays, *, theme: str = "light", narrow: bool = False):
        self.collection = collection
        self.theme = theme if theme in LOOKS else "light"
        look = LOOKS[self.theme]._replace(narrow=narrow)
        self.selection = Selection()
        self.context = Context(collection, self.selection, look, arrays)
        self._style, self._widget_style = style_of(look), widget_style(look)
        self._version, self._query = -1, ""
        self._location: Any = None
        self.controls = Controls(self.context)
        self.status = html("", height=22)
        self.fault, self.failure = html(""), html("")
        self.dark = pn.widgets.Button(
            label="dark" if self.theme == "light" else "light", width=70, stylesheets=[self._widget_style]
        )
        self.dark.on_click(lambda event: self._change_theme())
        self.views: dict[str, Any] = {}
        self.tabs = pn.Tabs(
            *((name, pn.Column(sizing_mode="stretch_width", margin=0)) for name in VIEWS),
            dynamic=True, sizing_mode="stretch_width", stylesheets=[self._widget_style],
        )  # fmt: skip
        self.tabs.param.watch(lambda event: setattr(self.selection, "view", list(VIEWS)[event.new]), "active")
        self.code = html("")
        self.download = pn.widgets.FileDownload(
            callback=self._csv, filename="trajlab.csv", label="download CSV", width=140,
            stylesheets=[self._widget_style],
        )  # fmt: skip
        title = html(f"<h1>{escape(collection.source.title)}</h1>")
        self.layout = pn.Row(
            pn.Column(pn.Row(title, self.dark), self.controls.layout, width=310, margin=(8, 4)),
            pn.Column(
                self.status, self.fault, self.failure, self.tabs, pn.Row(self.download), self.code,
                sizing_mode="stretch_width",
            ),
            sizing_mode="stretch_width", stylesheets=[NARROW],
        )  # fmt: skip
        for pane in self.layout.select(pn.pane.HTML):
            pane.stylesheets = [self._style]
        self.selection.param.watch(lambda *events: self.update(), list(FIELDS))
        self.tick()

    def connect(self, location: Any) -> None:
        """Take the state from the address of the page, and keep it there from now on."""
        self._location = location
        values, unreadable = from_query(location.search or "")
        self._query = to_query(Selection(**values))
        if self._query:
            self.selection.param.update(**values)
        if unreadable:
            self.fault.object = note(f"The address is not readable in {', '.join(unreadable)}; the defaults are shown.")

    def tick(self) -> None:
        """Show results that were computed since, and put the state into the address once it rests."""
        self.status.object = f'<span class="soft">{escape(self.collection.progress())}</span>'
        if self.collection.version != self._version:
            self._version = self.collection.version
            self.update()
        query = to_query(self.selection)
        if self._location is not None and query != self._query:
            self._query = query
            self._location.search = self._address()

    def update(self) -> None:
        """Show the selection in the controls and in the open view."""
        active = list(VIEWS).index(self.selection.view)
        if self.tabs.active != active:
            self.tabs.active = active
        try:
            with pn.io.hold():
                self.controls.show()
                self._view().update()
                self.code.object = self._code()
            self.failure.object = ""
        except TrajlabError as error:
            self.failure.object = note(str(error))
        except Exception as error:  # a fault of one view must not take the page down
            logging.getLogger("trajlab").exception("the view %s failed", self.selection.view)
            self.failure.object = note(f"This view failed, the others may not: {type(error).__name__}: {error}")
        self.context.arrays.fetch()

    def _view(self) -> Any:
        name = self.selection.view
        if name not in self.views:
            module, _, of_view = VIEWS[name].partition(".")
            view = getattr(import_module(f"trajlab.explorer.views.{module}"), of_view)(self.context)
            for pane in view.layout.select(pn.pane.HTML):
                pane.stylesheets = [self._style]
            self.views[name] = view
            self.tabs[list(VIEWS).index(name)].objects = [view.layout]
        return self.views[name]

    def _code(self) -> str:
        code = code_of(self.context)
        if not code:
            return ""
        anew = computing_code(self.context, coded_quantity(self.context)[0])
        more = f"<p class='soft'>To compute the result anew:</p><pre>{escape(anew)}</pre>" if anew else ""
        return f"<details><summary>copy as code</summary><pre class='code'>{escape(code)}</pre>{more}</details>"

    def _csv(self) -> Any:
        return StringIO(csv_text(self._view().table()))

    def _address(self, theme: str | None = None) -> str:
        """Return the query of the address: the token, the theme, by default that which is in it, and the state."""
        present = parse_qs((self._location.search or "").lstrip("?"))
        kept = {name: present[name][-1] for name in ("token", "theme") if name in present}
        kept |= {} if theme is None else {"theme": theme}
        return "?" + "&".join(filter(None, [urlencode(kept), to_query(self.selection)]))

    def _change_theme(self) -> None:
        """Load the page anew in the other colors."""
        if self._location is not None:
            self._location.reload = True
            self._location.search = self._address("dark" if self.theme == "light" else "light")
