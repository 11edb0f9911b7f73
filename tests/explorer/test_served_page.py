"""The page of a visitor."""

import pytest

from tests.explorer.conftest import run_of

pn = pytest.importorskip("panel", reason="the page needs trajlab[explore]")


def test_the_page_has_the_views_and_looks_for_new_results(monkeypatch):
    from bokeh.document import Document
    from panel.io.state import set_curdoc

    from trajlab.explorer.arrays import Arrays
    from trajlab.explorer.explore import collection_of
    from trajlab.explorer.page import TICK
    from trajlab.explorer.served_page import served_page

    timers = []
    monkeypatch.setattr(type(pn.state), "add_periodic_callback", lambda state, act, period: timers.append(period))
    document = Document()
    with set_curdoc(document):
        shown = served_page(collection_of({"a & <b>": run_of(0, 0.1)}, stages=[]), Arrays(), "dark")
    assert shown.select(pn.Tabs) and document.title == "a & <b>" and timers == [TICK]
    assert "a &amp; &lt;b&gt;" in " ".join(str(pane.object) for pane in shown.select(pn.pane.HTML))
