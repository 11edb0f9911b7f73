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


@pytest.mark.parametrize("cookies", [{}, {"trajlab_narrow": "0"}, {"trajlab_narrow": "1"}])
def test_figures_are_narrow_if_the_browser_says_that_its_window_is(monkeypatch, cookies):
    from bokeh.document import Document
    from panel.io.state import set_curdoc

    from trajlab.explorer.arrays import Arrays
    from trajlab.explorer.explore import collection_of
    from trajlab.explorer.served_page import served_page

    looks = []
    monkeypatch.setattr("trajlab.explorer.page.Controls", lambda context: looks.append(context.look) or 1 / 0)
    monkeypatch.setattr(type(pn.state), "cookies", cookies)
    with set_curdoc(Document()), pytest.raises(ZeroDivisionError):
        served_page(collection_of({"a": run_of(0, 0.1)}, stages=[]), Arrays(), "dark")
    assert looks[0].narrow == (cookies.get("trajlab_narrow") == "1")
