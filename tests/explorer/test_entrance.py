"""The page until its views are loaded."""

import asyncio
from concurrent.futures import Future

import pytest

from tests.explorer.conftest import HOSTILE, run_of
from trajlab.errors import MissingData
from trajlab.explorer.entrance import RELOAD, Entrance, head
from trajlab.explorer.explore import collection_of

pytest.importorskip("tornado", reason="the page needs trajlab[explore]")

from tornado.httpclient import AsyncHTTPClient  # noqa: E402
from tornado.httpserver import HTTPServer  # noqa: E402
from tornado.testing import bind_unused_port  # noqa: E402
from tornado.web import Application  # noqa: E402


@pytest.fixture
def visit():
    """Return a function that visits the entrance, calls functions as parts of the page come, and returns the parts."""

    def follow(opening, loaded, *acts, query=""):
        async def run():
            arguments = {"opening": opening, "loaded": loaded, "title": HOSTILE, "theme": "light"}
            server = HTTPServer(Application([("/", Entrance, arguments)]))
            listening, port = bind_unused_port()
            server.add_socket(listening)
            parts, waiting = [], list(acts)

            def came(part):
                parts.append(part.decode())
                if waiting:
                    waiting.pop(0)()

            client = AsyncHTTPClient(force_instance=True)
            await client.fetch(f"http://127.0.0.1:{port}/{query}", streaming_callback=came)
            client.close()
            server.stop()
            return parts

        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(run())
        finally:
            loop.close()

    return follow


def test_facts_come_before_the_views_are_loaded(visit):
    opening, loaded = Future(), Future()
    collection = collection_of({"first": run_of(0, 0.1), "second": run_of(1, 0.1)}, stages=[])
    parts = visit(opening, loaded, lambda: opening.set_result(collection), lambda: loaded.set_result(None))
    assert "Opening &lt;img" in parts[0] and "facts" not in parts[0].partition("<body>")[2]
    assert "Runs: first, second" in parts[1] and "12, steps 0 to 110" in parts[1] and RELOAD not in parts[1]
    assert RELOAD in parts[-1] and "<img" not in "".join(parts)


def test_an_error_is_shown_and_the_page_is_not_loaded_again(visit):
    opening = Future()
    parts = visit(opening, Future(), lambda: opening.set_exception(MissingData("cannot explore <b>: no run")))
    assert "cannot explore &lt;b&gt;: no run" in "".join(parts) and RELOAD not in "".join(parts)


@pytest.mark.parametrize(("chosen", "asks"), [("", True), ("dark", False), ("none", True)])
def test_colors_are_those_of_the_address_or_of_the_system(chosen, asks):
    assert ("prefers-color-scheme" in head("title", chosen, "light")) == asks
    assert ("#15181c" in head("title", chosen, "light")) == (asks or chosen == "dark")
