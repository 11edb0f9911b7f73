"""Serve the page from the command line: first its entrance with the facts, then the views, then the results."""

import gc
import sys
import threading
import webbrowser
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, TypeVar

from trajlab.errors import BadSetting
from trajlab.explorer.arrays import Arrays
from trajlab.explorer.entrance import Entrance
from trajlab.explorer.explore import collection_of, require_panel
from trajlab.explorer.result_collection import ResultCollection
from trajlab.explorer.server import LOCAL, PageServer
from trajlab.explorer.source import source_of
from trajlab.running.follow import follow as follow_path
from trajlab.terminal import say

AT_ONCE = 0.3
"""Seconds in which a folder that cannot be opened mostly says so: then no page is begun."""

AFTER_VIEW = 0.5
"""Seconds in which the first view has the processor to itself once the views are loaded; then results are computed."""

LAST_WORDS = 5.0
"""Seconds in which pages show why nothing could be opened, before the command ends with the error."""

READING = ("step_pattern", "series", "key", "parameters", "trust")
"""Options of `trajlab.open`."""

T = TypeVar("T")


def serve(paths: Sequence[Path], *, host: str, port: int, browser: bool, theme: str = "light", **options: Any) -> None:
    """Serve the page until interrupted. Its address, with the token, is the first line on stdout.

    The entrance shows the facts of the runs as soon as they are open; Panel is imported only then.

    Parameters
    ----------
    paths
        What is shown.
    host, port
        Address to listen on; port 0 takes a free one.
    browser
        Whether to open the page in the browser.
    theme
        Colors until a visitor chooses others.
    options
        Further arguments of `collection_of`.

    Raises
    ------
    MissingData
        A path holds neither runs nor results, or Panel is not installed.
    BadSetting
        The port is not from 0 to 65,535.
    TrajlabError
        The address cannot be bound.
    """
    if not 0 <= port <= 65_535:
        raise BadSetting(f"cannot listen on port {port}: choose 0 to 65535")
    require_panel()
    arrays, title = Arrays(), ", ".join(path.name or str(path) for path in paths)
    opening = in_thread(lambda: opened(paths, **options))
    wait([opening], AT_ONCE)
    if opening.done():
        opening.result()
    loaded: Future[None] = Future()
    entrance = {"opening": opening, "loaded": loaded, "title": title, "theme": theme}
    server = PageServer((Entrance, entrance), host=host, port=port)
    views = in_thread(lambda: views_of(opening.result(), arrays, theme))
    if host not in LOCAL:
        print(
            f"trajlab: warning: {host} can be reached from other machines; whoever has the address with its token sees "
            "these runs, and it travels unencrypted",
            file=sys.stderr,
        )

    def begin() -> None:
        error = views.exception()
        if error is not None:
            loaded.set_exception(error)  # ends the entrance of each visitor
            server.later(LAST_WORDS, server.stop)
            return
        collection = opening.result()
        server.show(views.result(), collection.source.title)
        loaded.set_result(None)
        for text in collection.source.notes:
            say(f"not shown: {text}")
        if collection.source.runs:
            print(f"results are kept in {collection.folder}; ctrl-C stops", file=sys.stderr, flush=True)
        server.later(AFTER_VIEW, collection.start)

    def ready(address: str) -> None:
        print(address, flush=True)
        if browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        views.add_done_callback(lambda future: server.later(0.0, begin))

    try:
        server.run(ready)
        views.result()
    finally:
        arrays.stop()
        if opening.done() and opening.exception() is None:
            opening.result().stop()


def opened(paths: Sequence[Path], *, follow: bool = False, **options: Any) -> ResultCollection:
    """Open what is to be shown; with `follow`, wait for the first snapshot of each run."""
    if follow:
        reading = {name: options[name] for name in READING if name in options}
        for path in paths:
            follow_path(path, lambda path=path: bool(source_of(path, **reading)))  # type: ignore[misc]
    return collection_of(list(paths), follow=follow, **options)


def views_of(collection: ResultCollection, arrays: Arrays, theme: str) -> Callable[[], Any]:
    """Import the views, and return the function that builds the page of a visitor.

    The import takes longer than opening the runs.
    """
    from trajlab.explorer.served_page import served_page

    spare_collection()
    return lambda: served_page(collection, arrays, theme)


def spare_collection() -> None:
    """Exempt all objects there are from garbage collection: a pass over all modules delays a click by 0.2 s."""
    gc.freeze()


def in_thread(work: Callable[[], T]) -> Future[T]:
    """Call a function in a daemon thread, and return the future of its result."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="trajlab-open", daemon=True).start()
    return future
