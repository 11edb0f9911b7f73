"""Stores that stall, fail and answer short: right numbers, or one clear error in the end."""

import http.client
import itertools
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import fsspec
import numpy as np
import pytest
from safetensors.numpy import save_file
from zarr.core.sync import sync

import trajlab
from trajlab.errors import DamagedData, TrajlabError
from trajlab.runs.disk import stores
from trajlab.runs.disk.stores import repeatedly

s3fs = pytest.importorskip("s3fs")
moto = pytest.importorskip("moto.server")

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


OF_CONNECTION = ("content-length", "connection", "transfer-encoding")


class FaultyProxy(ThreadingHTTPServer):
    """Passes requests on to a server, but some in a faulty way; `fault` of the number of a request says how."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.numbers = itertools.count()
        self.fault = lambda number: ""
        self.faults = 0
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        fault = self.server.fault(next(self.server.numbers))
        self.server.faults += bool(fault)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault == "stall":
            self.server.released.wait()
            self.close_connection = True
            return
        if fault == "fail":
            self._answer(503, b"<Error><Code>ServiceUnavailable</Code><Message>busy</Message></Error>", {})
            return
        upstream = http.client.HTTPConnection(self.server.upstream)
        upstream.request(self.command, self.path, body, dict(self.headers))
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in OF_CONNECTION}
        half = content[: len(content) // 2]
        if fault == "short" and self.headers.get("Range"):
            self._answer(answer.status, half, {"ETag": answer.getheader("ETag")})
        elif fault == "cut" and self.command == "GET" and half:
            self._answer(answer.status, half, headers, length=str(len(content)))
            self.close_connection = True
        else:
            self._answer(answer.status, content, headers, length=length)

    def _answer(self, status: int, content: bytes, headers: dict[str, str], length: str | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)) if length is None else length)
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def proxy():
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    proxy = FaultyProxy(f"http://{host}:{port}")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*proxy.server_address))
        patch.delenv("AWS_PROFILE", raising=False)
        patch.setattr(stores, "READ_SECONDS", 0.3)
        patch.setattr(stores, "BACKOFF_SECONDS", 0.01)
        stores.configure_stores.cache_clear()
        before = {name: fsspec.config.conf.pop(name, None) for name in ("s3", "s3a")}
        s3fs.S3FileSystem.clear_instance_cache()
        yield proxy
        proxy.released.set()
        for store in s3fs.S3FileSystem._cache.values():
            sync(store._s3.close()) if store.asynchronous else fsspec.asyn.sync(store.loop, store._s3.close)
        s3fs.S3FileSystem.clear_instance_cache()
        fsspec.config.conf.update({name: settings for name, settings in before.items() if settings})
    stores.configure_stores.cache_clear()
    proxy.shutdown()
    proxy.server_close()
    server.stop()


@pytest.fixture(scope="module")
def series(proxy, tmp_path_factory):
    """Put a series of snapshots into a bucket, and give its URL and the values of its tensor."""
    values = np.random.default_rng(0).standard_normal((12, 30, 10)).astype(np.float32)
    folder = tmp_path_factory.mktemp("series")
    store = fsspec.filesystem("s3")
    store.mkdir("s3://bucket")
    for step, value in enumerate(values):
        save_file({"weight": value}, folder / f"step{step}.safetensors")
    store.put(str(folder), "s3://bucket/series", recursive=True)
    return "s3://bucket/series", values


@pytest.fixture
def faulty(proxy):
    """Set the fault of the requests from now on; returns the proxy."""

    def faulty(fault):
        proxy.numbers, proxy.faults, proxy.fault = itertools.count(), 0, fault
        return proxy

    yield faulty
    proxy.fault = lambda number: ""


@pytest.mark.parametrize("kind", ["fail", "cut", "stall"])
def test_store__that_fails_every_tenth_request_gives_the_right_numbers(kind, series, faulty):
    url, values = series
    proxy = faulty(lambda number: kind if number % 10 == 4 else "")
    run = trajlab.open(url)
    np.testing.assert_array_equal(run.weights["weight"].values, values)
    assert proxy.faults >= 2
    drift = trajlab.run("drift", run).compute()
    moved = np.linalg.norm((values[-1] - values[0]).ravel().astype(float))
    assert float(drift.distance_l2.isel(step=-1).squeeze()) == pytest.approx(moved, rel=1e-6)


def test_store__that_answers_short_always_is_an_error(series, faulty):
    url, _ = series
    run = trajlab.open(url)
    faulty(lambda number: "short")
    with pytest.raises(DamagedData, match="cannot fetch bytes .* of s3://bucket/series/step.*: it ends at byte"):
        run.weights["weight"].compute()


@pytest.mark.slow
def test_store__that_stalls_is_one_error_after_a_bounded_number_of_requests(series, faulty):
    url, _ = series
    proxy = faulty(lambda number: "stall")
    with pytest.raises(TrajlabError, match=r"cannot reach s3://bucket/series: .*; check the address"):
        trajlab.open(url)
    assert proxy.faults <= 5 * stores.ATTEMPTS


def test_configure_stores__keeps_what_the_user_has_set(monkeypatch):
    monkeypatch.setattr(fsspec.config, "conf", {"s3": {"config_kwargs": {"read_timeout": 99}}})
    stores.configure_stores.__wrapped__()
    assert fsspec.config.conf["s3"] == {"config_kwargs": {"read_timeout": 99}}
    assert fsspec.config.conf["s3a"]["config_kwargs"]["read_timeout"] == stores.READ_SECONDS
    assert fsspec.config.conf["https"]["get_client"] is stores._http_client


def test_repeatedly__asks_again_for_what_failed_only(monkeypatch):
    asked, pauses = [], []
    monkeypatch.setattr(time, "sleep", pauses.append)

    def request(numbers):
        asked.append(list(numbers))
        return [number if number + len(asked) > 3 else -1 for number in numbers]

    assert repeatedly(request, 4, lambda number, answer: answer >= 0) == [-1, 1, 2, 3]
    assert asked == [[0, 1, 2, 3], [0, 1, 2], [0, 1]]
    assert pauses == pytest.approx([stores.BACKOFF_SECONDS, 2 * stores.BACKOFF_SECONDS])
