"""A proxy in front of a server on this machine that passes requests on, some of them in a faulty way."""

import http.client
import itertools
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

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
