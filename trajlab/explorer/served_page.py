"""The page of a visitor of the server."""

from typing import Any

import panel as pn
import panel.models.tabulator  # noqa: F401  the scripts of tables are in every page, whatever view it begins with
from bokeh.events import DocumentReady
from bokeh.models import CustomJS
from panel.io.resources import BASE_TEMPLATE, LOCAL_DIST

from trajlab.explorer.arrays import Arrays
from trajlab.explorer.look import LOOKS
from trajlab.explorer.page import TICK, Page
from trajlab.explorer.result_collection import ResultCollection
from trajlab.explorer.style import NARROW_COOKIE, TELL_WIDTH, ground_of

TEMPLATE = BASE_TEMPLATE.environment.from_string(
    '{% extends "base.html" %}{% block postamble %}'
    '<meta name="viewport" content="width=device-width, initial-scale=1, minimum-scale=1">{% endblock %}'
)
"""Panel's document, as wide as the screen: without it, a phone lays out a page of 980 pixels and shrinks it."""

ON_LOAD = (
    TELL_WIDTH
    + """
window.addEventListener('popstate', () => window.location.reload())
const isFirst = tellWidth()
const query = new URLSearchParams(window.location.search)
if (!query.has('theme') && window.matchMedia('(prefers-color-scheme: dark)').matches) {
  query.set('theme', 'dark')
  window.location.replace('?' + query.toString())
} else if (isFirst) window.location.reload()
window.addEventListener('keydown', (event) => {
  const {tagName} = event.composedPath()[0]
  if (event.ctrlKey || event.altKey || event.metaKey || ['INPUT', 'SELECT', 'TEXTAREA'].includes(tagName)) return
  const models = [...Bokeh.documents[0]._all_models.values()]
  const player = models.find((model) => model.type.endsWith('Player'))
  const tabs = models.find((model) => model.type.endsWith('Tabs'))
  const move = {ArrowLeft: -1, ArrowRight: 1}[event.key]
  if (move && player) {
    player.direction = 0
    player.value = Math.max(player.start, Math.min(player.end, player.value + move))
  }
  if (tabs && event.key >= '1' && event.key <= String(tabs.tabs.length)) tabs.active = Number(event.key) - 1
})
const showing = setInterval(() => {
  const player = [...Bokeh.documents[0]._all_models.values()].find((model) => model.type.endsWith('Player'))
  const slider = player && Bokeh.index.find_one(player)?.shadow_el.querySelector('input[type=range]')
  if (slider == null) return
  slider.value = player.value
  clearInterval(showing)
}, 200)
"""
)
"""The page is loaded again if the server did not know that the window is narrow.

The back button shows the state before, as it is in the address; the first visit has the colors of the system.

Arrow keys move the step, and pause the slider if it plays; digits open views. Panel draws a slider of more than a
hundred steps at the hundredth, as it sets the value before the largest one; so the value is set again.
"""


def served_page(collection: ResultCollection, arrays: Arrays, theme: str) -> Any:
    """Build the page of a visitor of the server.

    Parameters
    ----------
    collection
        What is shown; all visitors share it.
    arrays
        Loaded parts of results; all visitors share them, too.
    theme
        Colors until the visitor chooses others.
    """
    document, location = pn.state.curdoc, pn.state.location
    document.template_variables["dist_url"] = LOCAL_DIST  # else Panel takes style sheets from its CDN
    chosen = pn.state.session_args.get("theme", [theme.encode()])[0].decode("utf-8", "replace")
    theme = chosen if chosen in LOOKS else "light"
    pn.config.raw_css = [ground_of(LOOKS[theme])]
    document.template = TEMPLATE
    document.title = collection.source.title
    document.js_on_event(DocumentReady, CustomJS(code=ON_LOAD))
    page = Page(collection, arrays, theme=theme, narrow=pn.state.cookies.get(NARROW_COOKIE) == "1")
    page.connect(location)
    pn.state.add_periodic_callback(page.tick, TICK)
    return page.layout
