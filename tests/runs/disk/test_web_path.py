"""Runs on a plain web server."""

import os
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.errors import MissingData
from trajlab.explorer.source import source_of
from trajlab.runs.disk.fingerprint import fingerprint
from trajlab.runs.disk.paths import as_path
from trajlab.runs.open import runs_in

pytest.importorskip("aiohttp", reason="reading from web servers needs aiohttp")


class Handler(SimpleHTTPRequestHandler):
    """Serve files and ranges of them, as web servers do, and listings of folders if `lists`."""

    lists = True

    def log_message(self, *arguments):
        pass

    def list_directory(self, path):
        if self.lists:
            return super().list_directory(path)
        return self.send_error(403)

    def do_GET(self):
        span = re.match(r"bytes=(\d+)-(\d*)$", self.headers.get("Range", ""))
        path = self.translate_path(self.path)
        if span is None or not os.path.isfile(path):
            return super().do_GET()
        data = Path(path).read_bytes()
        stop = int(span[2]) + 1 if span[2] else len(data)
        part = data[int(span[1]) : stop]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {span[1]}-{stop - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)


@pytest.fixture
def served(tmp_path):
    """Return a function that serves the folder of temporary files, and returns its URL."""
    servers = []

    def serve(*, lists=True):
        handler = type("Handler", (Handler,), {"lists": lists})
        server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *arguments: handler(*arguments, directory=str(tmp_path)))
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def run(checkpoints, tmp_path):
    values = np.arange(36, dtype=np.float32).reshape(3, 4, 3)
    folder = checkpoints({"a.weight": values}, folder=tmp_path / "study" / "first run")
    trajlab.pack(folder, tmp_path / "packed.zarr")
    return values


def test_a_folder_of_checkpoints_is_a_run(served, run):
    url = served()
    opened = trajlab.open(f"{url}/study/first run")
    assert np.array_equal(opened.weights["a.weight"].values, run)
    expected = trajlab.run("drift", trajlab.from_arrays({"a.weight": run})).compute()
    xr.testing.assert_allclose(trajlab.run("drift", opened).compute(), expected)
    assert list(runs_in(f"{url}/study")) == ["first run"]
    assert list(source_of(f"{url}/study").runs) == ["first run"]


def test_a_packed_store_needs_no_listing(served, run):
    url = served(lists=False)
    assert np.array_equal(trajlab.open(f"{url}/packed.zarr").weights["a.weight"].values, run)
    assert list(source_of(as_path(f"{url}/packed.zarr")).runs) == ["packed"]


@pytest.mark.parametrize("open_path", [trajlab.open, source_of, runs_in])
def test_a_folder_that_is_not_listed_says_what_to_do(served, run, open_path):
    with pytest.raises(MissingData, match=r"turn listings on \(autoindex\), copy .* or serve a store"):
        open_path(f"{served(lists=False)}/study")


def test_nothing_may_be_a_folder_that_is_not_listed(served, run):
    with pytest.raises(MissingData, match="nothing, or a folder that the web server does not list"):
        trajlab.open(f"{served()}/nowhere")


def test_entries_have_names_and_kinds(served, run):
    folder = as_path(f"{served()}/study/first run")
    assert folder.is_dir() and not folder.is_file()
    assert [entry.name for entry in folder.iterdir()] == [f"checkpoint-{step}" for step in range(3)]
    assert [entry.name for entry in folder.glob("*-1")] == ["checkpoint-1"]
    (file,) = folder.glob("checkpoint-0/*.safetensors")
    assert file.is_file() and not file.is_dir() and file.parent.name == "checkpoint-0"


def test_a_fingerprint_changes_with_the_files_and_with_the_store(served, run, tmp_path, checkpoints):
    url = served()
    folder, store = as_path(f"{url}/study"), as_path(f"{url}/packed.zarr")
    before = fingerprint(folder), fingerprint(store)
    assert (fingerprint(folder), fingerprint(store)) == before
    checkpoints({"a.weight": run[:1]}, steps=[7], folder=tmp_path / "study" / "first run")
    os.utime(tmp_path / "packed.zarr" / "zarr.json", (0, 0))
    assert fingerprint(folder) != before[0] and fingerprint(store) != before[1]
