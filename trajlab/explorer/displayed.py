"""An element of the page that reports when a browser displays it."""

from collections.abc import Callable

import panel as pn
import param


class Displayed(pn.reactive.ReactiveHTML):
    """An empty element that calls a function once a browser has drawn it.

    A notebook draws a page a second or more after its cell has run, and changes in between are lost.
    """

    shown = param.Boolean(default=False, doc="Whether a browser has drawn it.")

    _template = '<span id="mark"></span>'
    _scripts = {"render": "data.shown = true"}

    def call(self, act: Callable[[], object]) -> None:
        """Call a function the first time that a browser draws the element."""

        def drawn(event: param.parameterized.Event) -> None:
            self.param.unwatch(watcher)
            act()

        watcher = self.param.watch(drawn, "shown")
