"""How object stores are reached: time-outs and repeated requests, unless the user has set them."""

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

Answer = TypeVar("Answer")

CONNECT_SECONDS, READ_SECONDS = 5, 10
"""Time until a connection must stand, and between two pieces of an answer."""

ATTEMPTS = 3
"""How often a request is made within a client of a store, and again by trajlab, before it fails."""

BACKOFF_SECONDS = 0.2
"""Time before the second attempt; each further one waits twice as long."""

FINAL = (FileNotFoundError, PermissionError, IsADirectoryError)
"""Errors of a request that no further attempt removes."""


@cache
def configure_stores() -> None:
    """Set time-outs and repeated requests in fsspec's configuration, where they are not set; once in each process."""
    from fsspec.config import conf

    retries = {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
    retries |= {"retries": {"total_max_attempts": ATTEMPTS, "mode": "standard"}}  # type: ignore[dict-item]
    for protocol in ("s3", "s3a"):
        settings = conf.setdefault(protocol, {})
        if not {"config_kwargs", "client_kwargs"} & settings.keys():
            settings["config_kwargs"] = retries
    for protocol in ("http", "https"):
        settings = conf.setdefault(protocol, {})
        if "client_kwargs" not in settings:
            settings["get_client"] = _http_client


async def _http_client(**settings: Any) -> Any:
    """Return a client for HTTP that does not wait forever."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
    return aiohttp.ClientSession(timeout=timeout, **settings)


def repeatedly(
    request: Callable[[Sequence[int]], Sequence[Answer]], count: int, is_final: Callable[[int, Answer], bool]
) -> list[Answer]:
    """Make many requests at once, and those that failed again, after a pause that doubles.

    Parameters
    ----------
    request
        Makes the requests of some numbers, and returns an answer or an exception for each.
    count
        Number of requests.
    is_final
        Whether an answer to a request is as good as it gets.

    Returns
    -------
    The last answer to each request.
    """
    answers = list(request(range(count)))
    for attempt in range(ATTEMPTS - 1):
        failed = [number for number, answer in enumerate(answers) if not is_final(number, answer)]
        if not failed:
            break
        time.sleep(BACKOFF_SECONDS * 2**attempt)
        for number, answer in zip(failed, request(failed), strict=True):
            answers[number] = answer
    return answers
