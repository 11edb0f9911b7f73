"""The server of the page."""

import asyncio
import gc
import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from trajlab.errors import BadSetting, MissingData, TrajlabError

pytest.importorskip("panel", reason="the page needs trajlab[explore]")

from trajlab.explorer import serve as module  # noqa: E402
from trajlab.explorer.arrays import Arrays  # noqa: E402
from trajlab.explorer.serve import in_thread, opened, serve, views_of  # noqa: E402

HERE = {"host": "127.0.0.1", "browser": False}


def test_a_path_of_nothing_is_an_error_before_there_is_an_address(tmp_path, capsys):
    with pytest.raises(MissingData, match="nowhere"):
        serve([tmp_path / "nowhere"], port=0, stages=[], **HERE)
    assert capsys.readouterr().out == ""


def test_a_port_in_use_is_an_error(study):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(TrajlabError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            serve([study], port=port, stages=[], **HERE)


def test_a_port_that_is_none_is_an_error(study):
    with pytest.raises(BadSetting, match="choose 0 to 65535"):
        serve([study], port=65_536, stages=[], **HERE)


def _serve_in_own_loop(path):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        serve([path], port=0, **HERE)
    finally:
        loop.close()


def test_runs_that_fail_to_open_later_end_the_server_and_free_its_address(tmp_path, monkeypatch, capsys):
    future = Future()
    monkeypatch.setattr(module, "opened", lambda paths, **options: future.result())
    monkeypatch.setattr(module, "AT_ONCE", 0.0)
    monkeypatch.setattr(module, "LAST_WORDS", 0.0)
    fails = threading.Timer(0.2, future.set_exception, [MissingData("it is gone")])
    fails.start()
    # in a thread of its own, as the browser of other tests keeps a loop running in this one
    with ThreadPoolExecutor(1) as pool, pytest.raises(MissingData, match="it is gone"):
        pool.submit(_serve_in_own_loop, tmp_path).result()
    fails.join()
    address = capsys.readouterr().out.split("/?")[0]
    assert address.startswith("http://127.0.0.1:")
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        pass


def test_views_that_fail_to_load_end_the_page_of_a_visitor(study, monkeypatch):
    entrances = []

    class Watched(module.PageServer):
        def __init__(self, entrance, **options):
            entrances.append(entrance[1])
            super().__init__(entrance, **options)

    def broken(*arguments):
        raise ImportError("no bokeh")

    monkeypatch.setattr(module, "PageServer", Watched)
    monkeypatch.setattr(module, "views_of", broken)
    monkeypatch.setattr(module, "LAST_WORDS", 0.0)
    with ThreadPoolExecutor(1) as pool, pytest.raises(ImportError, match="no bokeh"):
        pool.submit(_serve_in_own_loop, study).result()
    assert isinstance(entrances[0]["loaded"].exception(timeout=5), ImportError)


def test_what_is_opened_in_a_thread_is_the_collection_or_the_error(study, tmp_path):
    assert list(in_thread(lambda: opened([study], stages=[])).result().source.runs) == ["run-0", "run-1", "run-2"]
    assert isinstance(in_thread(lambda: opened([tmp_path / "nowhere"])).exception(), MissingData)


def test_imported_modules_are_exempt_from_garbage_collection_once_the_views_are_loaded(study):
    gc.unfreeze()
    try:
        views_of(opened([study], stages=[]), Arrays(), "light")
        assert gc.get_freeze_count() > 100_000 > len(gc.get_objects())
    finally:
        gc.unfreeze()


def test_a_run_that_is_followed_is_awaited(tmp_path, checkpoints, monkeypatch):
    import numpy as np

    def wait_for_a_snapshot(path, act):
        checkpoints({"a.w": np.ones((1, 2), np.float32)}, folder=path)
        assert act()

    (tmp_path / "run").mkdir()
    monkeypatch.setattr(module, "follow_path", wait_for_a_snapshot)
    assert list(opened([tmp_path / "run"], follow=True, stages=[]).source.runs) == ["run"]
