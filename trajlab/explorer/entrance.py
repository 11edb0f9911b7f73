"""The page until its views are loaded: one streamed response that shows the facts of the runs once they are open.

Reading the headers of a run takes less time than importing Panel and Bokeh and loading their scripts in the browser.
"""

import asyncio
from concurrent.futures import Future
from html import escape

from tornado.web import RequestHandler

from trajlab.explorer.look import LOOKS
from trajlab.explorer.markup import facts_table, note
from trajlab.explorer.result_collection import ResultCollection
from trajlab.explorer.style import TELL_WIDTH, ground_of, style_of

RELOAD = "<script>window.addEventListener('load', () => window.location.reload())</script>"
"""The views are at the same address."""


class Entrance(RequestHandler):
    """Show the facts of the runs, and make the browser reload once the views are loaded.

    Parameters
    ----------
    opening
        The runs, once they are open; an error is shown in their place.
    loaded
        Done once the views are served at this address; an error is shown, and ends the page without a reload.
    title
        What is being opened.
    theme
        Colors, light or dark, unless the address or the browser asks for others.
    """

    def initialize(self, opening: Future[ResultCollection], loaded: Future[None], title: str, theme: str) -> None:
        """Take the parameters, as tornado passes them."""
        self.opening, self.loaded, self.title, self.theme = opening, loaded, title, theme

    async def get(self) -> None:
        """Stream the page."""
        self.set_header("Cache-Control", "no-store")
        self.write(head(self.title, self.get_query_argument("theme", ""), self.theme))
        self.write(f"<script>{TELL_WIDTH} tellWidth()</script>")
        self.write(f'<p id="opening" class="note">Opening {escape(self.title)} …</p>')
        await self.flush()
        try:
            collection = await asyncio.wrap_future(self.opening)
            self.write("<style>#opening { display: none }</style>" + facts(collection))
            await self.flush()
            await asyncio.wrap_future(self.loaded)
        except Exception as error:
            self.finish(note(str(error)))
            return
        self.finish(RELOAD)


def head(title: str, chosen: str, theme: str) -> str:
    """Return the beginning of the page.

    Parameters
    ----------
    title
        Title and heading.
    chosen
        Colors in the address, light or dark; those of the system otherwise.
    theme
        Colors if neither states any.
    """
    look = LOOKS.get(chosen) or LOOKS[theme]
    styles = _styles(look)
    if chosen not in LOOKS:
        styles += f"@media (prefers-color-scheme: dark) {{ {_styles(LOOKS['dark'])} }}"
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<style>{styles} body {{ padding: 12px 16px }}</style>"
        f"</head><body><h1>{escape(title)}</h1>"
    )


def facts(collection: ResultCollection) -> str:
    """Return the facts of the first run as HTML, the names of all runs, and what was left out."""
    source = collection.source
    names = list(source.runs)
    others = f"Runs: {', '.join(names)}" if len(names) > 1 else ""
    results = "" if names else f"Results: {', '.join(source.results)}"
    table = facts_table(names[0], source.runs[names[0]]) if names else ""
    loading = note("The views are being loaded …")
    return loading + note(others) + note(results) + table + "".join(map(note, source.notes))


def _styles(look) -> str:  # noqa: ANN001
    return ground_of(look) + style_of(look).replace(":host", "body")
