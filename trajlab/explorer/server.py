"""HTTP server of the page, which refuses requests without its token."""

import hmac
import logging
import secrets
import socket
from collections.abc import Callable
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.ioloop import IOLoop
from tornado.routing import Router
from tornado.web import Application, OutputTransform, RequestHandler

from trajlab.errors import TrajlabError

logging.getLogger("tornado.access").setLevel(logging.ERROR)  # every refused request is a warning else

LOCAL = ("127.0.0.1", "localhost", "::1")

POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws: wss:; frame-ancestors 'none'"
)
"""Content security policy: nothing is loaded from other hosts."""


class PageServer:
    """A page at an address of this machine.

    Parameters
    ----------
    entrance
        Request handler of the page until `show` is called, and its arguments.
    host, port
        Address to listen on; port 0 takes a free one.

    Attributes
    ----------
    token
        Secret that every request must hold: as `token` in the query, or in the cookie that the first response sets.
    address
        URL of the page, with the token.

    Raises
    ------
    TrajlabError
        The address cannot be bound.
    """

    def __init__(
        self, entrance: tuple[type[RequestHandler], dict[str, Any]], *, host: str = "127.0.0.1", port: int = 0
    ):
        self.token = secrets.token_urlsafe(32)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listening = socket.create_server((host, port), family=family, backlog=128)
        except OSError as error:
            raise TrajlabError(
                f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port or --host"
            ) from error
        listening.setblocking(False)
        self.port = listening.getsockname()[1]
        self._shown_host = "127.0.0.1" if host in ("", "0.0.0.0") else f"[{host}]" if ":" in host else host
        self._is_local = host in LOCAL
        self.address = f"http://{self._shown_host}:{self.port}/?token={self.token}"
        self._guard = Guard(Application([("/", *entrance)]), self.token, f"trajlab-explore-{self.port}")
        self._http = HTTPServer(self._guard)
        self._http.add_sockets([listening])
        self._loop = IOLoop.current()
        self._server: Any = None

    def show(self, page: Callable[[], Any], title: str) -> None:
        """Serve a page of Panel from now on; call it on the event loop.

        Parameters
        ----------
        page
            Function that builds the page for each visitor.
        title
            Title of the page.
        """
        from bokeh.server.server import BaseServer
        from bokeh.server.tornado import BokehTornado
        from panel.io.application import build_applications
        from panel.io.server import INDEX_HTML

        names = (self._shown_host, "127.0.0.1", "localhost")
        origins = {f"{name}:{self.port}" for name in names} if self._is_local else {"*"}
        tornado = BokehTornado(
            build_applications({"/": page}, title={"/": title}), extra_websocket_origins=origins, index=INDEX_HTML
        )
        self._server = BaseServer(self._loop, tornado, self._http)
        self._server.start()
        self._guard.let_in(tornado)

    def run(self, ready: Callable[[str], None]) -> None:
        """Serve requests until interrupted or stopped; the address is then free again.

        Parameters
        ----------
        ready
            Called with the address once the server listens.
        """
        self._loop.add_callback(ready, self.address)
        try:
            self._loop.start()
        finally:
            if self._server is None:
                self._http.stop()
            else:
                self._server.stop(wait=False)

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Call a function on the server's event loop after a delay; callable from any thread."""
        self._loop.add_callback(self._loop.call_later, seconds, act)

    def stop(self) -> None:
        """Stop the server; callable from any thread."""
        self._loop.add_callback(self._loop.stop)


class Guard(Router):
    """Router that answers 403 to every request without the token: of pages, resources and websockets."""

    def __init__(self, application: Application, token: str, cookie: str):
        self.token, self.cookie = token, cookie
        self.refusal = Application([(r".*", _Refusal)])
        self.let_in(application)

    def let_in(self, application: Application) -> None:
        """Pass requests with a valid token to an application from now on."""
        application.add_transform(_sealed(self.token, self.cookie))
        self.application = application

    def find_handler(self, request: HTTPServerRequest, **options: Any) -> Any:
        """Return the handler of a request; that of the refusal if the request has no valid token."""
        allowed = any(hmac.compare_digest(shown.encode(), self.token.encode()) for shown in self._shown(request))
        return (self.application if allowed else self.refusal).find_handler(request, **options)

    def _shown(self, request: HTTPServerRequest) -> list[str]:
        """Return the tokens in the query and the cookie of a request."""
        tokens = [value.decode("utf-8", "replace") for value in request.query_arguments.get("token", [])]
        cookie = request.cookies.get(self.cookie)
        return tokens if cookie is None else [*tokens, cookie.value]


class _Refusal(RequestHandler):
    def prepare(self) -> None:
        self.set_status(403)
        self.finish("403: this page needs the token in the address that `trajlab explore` printed.\n")


def _sealed(token: str, cookie: str) -> type[OutputTransform]:
    """Return a transform that adds the cookie and the security headers to every response."""

    class Sealed(OutputTransform):
        def transform_first_chunk(self, status: int, headers: Any, chunk: bytes, finishing: bool) -> Any:
            headers.add("Set-Cookie", f"{cookie}={token}; HttpOnly; SameSite=Strict; Path=/")
            headers["Content-Security-Policy"] = POLICY
            headers["Referrer-Policy"] = "no-referrer"
            headers["X-Content-Type-Options"] = "nosniff"
            return status, headers, chunk

    return Sealed
