"""Every request needs the token."""

import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
WEBSOCKET = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip


def answer(url, headers=None):
    """Return status, headers and body of the answer to a request."""
    try:
        with OPENER.open(urllib.request.Request(url, headers=headers or {}), timeout=60) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.fixture(scope="module")
def parts(address):
    url = urlsplit(address)
    return f"{url.scheme}://{url.netloc}", url.query.removeprefix("token=")


def test_the_address_is_local_and_its_token_random(address, parts):
    assert urlsplit(address).hostname == "127.0.0.1"
    assert len(parts[1]) > 30


def test_the_token_opens_the_page_and_sets_a_cookie_that_does_the_same(address, parts):
    status, headers, body = answer(address)
    assert status == 200 and b"bokeh" in body
    assert "HttpOnly" in headers["Set-Cookie"] and "SameSite=Strict" in headers["Set-Cookie"]
    assert headers["Referrer-Policy"] == "no-referrer"
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert answer(f"{parts[0]}/static/js/bokeh.min.js", {"Cookie": cookie})[0] == 200


@pytest.mark.parametrize(
    "path", ["/", "/static/js/bokeh.min.js", "/ws", "/autoload.js", "/metadata", "/favicon.ico", "/x"]
)
@pytest.mark.parametrize("headers", [{}, WEBSOCKET], ids=["http", "websocket"])
@pytest.mark.parametrize("token", [None, "", "wrong"])
def test_without_the_token_all_is_forbidden(parts, path, headers, token):
    query = "" if token is None else f"?token={token}"
    port = parts[0].rpartition(":")[2]
    cookie = {} if token is None else {"Cookie": f"trajlab-explore-{port}={token}"}
    status, _, body = answer(parts[0] + path + query, headers | cookie)
    assert status == 403
    assert parts[1].encode() not in body


@pytest.mark.parametrize(
    "path", ["/../../etc/passwd", "/static/../../../../etc/passwd", "/static/%2e%2e/%2e%2e/etc/passwd"]
)
def test_files_are_not_served(parts, path):
    status, _, body = answer(f"{parts[0]}{path}?token={parts[1]}")
    assert status in (400, 403, 404) and b"root:" not in body


def test_all_resources_come_from_this_host(address):
    assert b"cdn." not in answer(address)[2]
