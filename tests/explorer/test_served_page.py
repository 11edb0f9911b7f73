"""The page of a visitor, before and after the runs are open."""

from concurrent.futures import Future

import pytest

from tests.explorer.conftest import run_of
from trajlab.errors import MissingData

pn = pytest.importorskip("panel", reason="the page needs trajlab[explore]")


class Timer:
    """A callback of a page, which the test calls in place of the clock."""

    def __init__(self, act, period):
        self.act, self.runs = act, True

    def stop(self):
        self.runs = False


@pytest.fixture
def visit(monkeypatch):
    """Return a function that builds the page of a visitor on what is being opened; with its timers."""
    from bokeh.document import Document
    from panel.io.state import set_curdoc

    from trajlab.explorer.arrays import Arrays
    from trajlab.explorer.served_page import served_page

    timers = []
    monkeypatch.setattr(
        type(pn.state), "add_periodic_callback", lambda state, *of: timers.append(Timer(*of)) or timers[-1]
    )

    def page(opening):
        document = Document()
        with set_curdoc(document):
            return served_page(opening, Arrays(), "a & <b>", "dark"), document, timers

    return page


def texts(shown):
    return " ".join(str(pane.object) for pane in shown.select(pn.pane.HTML))


def test_the_page_says_what_it_opens_and_then_shows_it(visit):
    from trajlab.explorer.explore import collection_of

    opening = Future()
    shown, document, timers = visit(opening)
    assert "Opening a &amp; &lt;b&gt; …" in texts(shown) and document.title == "a & <b>"
    timers[0].act()
    assert not shown.select(pn.Tabs)
    opening.set_result(collection_of(run_of(0, 0.1), stages=[]))
    timers[0].act()
    assert not timers[0].runs, "it looks on"
    assert shown.select(pn.Tabs)
    assert "Opening" not in texts(shown) and document.title == "run"


def test_the_page_says_why_nothing_could_be_opened(visit):
    opening = Future()
    opening.set_exception(MissingData("cannot explore <b>: there is nothing"))
    shown, _, _ = visit(opening)
    assert "cannot explore &lt;b&gt;: there is nothing" in texts(shown)


def test_what_is_open_already_is_shown_at_once(visit):
    from trajlab.explorer.explore import collection_of

    opening = Future()
    opening.set_result(collection_of(run_of(0, 0.1), stages=[]))
    shown, _, _ = visit(opening)
    assert shown.select(pn.Tabs)
