"""Fetch bytes of objects behind URLs by ranges, many at once; never a whole object where a range will do."""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import numpy as np

from trajlab import sizes
from trajlab.errors import DamagedData
from trajlab.runs.disk.paths import is_url, is_web, reaching, reason
from trajlab.runs.disk.stores import FINAL, configure_stores, repeatedly

Span = tuple[str, int, int]
"""A file, and the first byte of a piece of it and the byte after its last."""

MOST_WHOLE = 2 << 30
"""Most bytes of a document or log; a sparse file states terabytes and takes none."""

Item = TypeVar("Item")
Value = TypeVar("Value")


def fetch(spans: Sequence[Span]) -> list[np.ndarray]:
    """Fetch spans of objects, all at once, as read-only bytes.

    Raises
    ------
    DamagedData
        An object is missing, or ends before the span does.
    TrajlabError
        The object store cannot be reached.
    """
    if not spans:
        return []
    from fsspec.core import url_to_fs

    configure_stores()
    piece = sizes.REQUEST_BYTES
    requests = [(url, at, min(at + piece, stop)) for url, start, stop in spans for at in range(start, stop, piece)]
    with reaching(spans[0][0]):
        store, _ = url_to_fs(spans[0][0])
        paths = [url_to_fs(url)[1] for url, _, _ in requests]

        def ask(numbers: Sequence[int]) -> list[bytes | Exception]:
            starts, stops = [requests[i][1] for i in numbers], [requests[i][2] for i in numbers]
            return store.cat_ranges([paths[i] for i in numbers], starts, stops, on_error="return")

        answers = repeatedly(ask, len(requests), lambda i, answer: _is_final(requests[i], answer))
    pieces = iter(_checked(request, answer) for request, answer in zip(requests, answers, strict=True))
    return [
        np.frombuffer(_joined([next(pieces) for _ in range(start, stop, piece)]), np.uint8) for _, start, stop in spans
    ]


def _is_final(request: Span, answer: bytes | Exception) -> bool:
    """Return whether an answer is whole, or an error that another request would get, too."""
    _, start, stop = request
    if isinstance(answer, bytes):
        return len(answer) == stop - start
    return isinstance(answer, FINAL) or getattr(answer, "errno", None) == errno.EINVAL


def _checked(request: Span, answer: bytes | Exception) -> bytes:
    url, start, stop = request
    if isinstance(answer, bytes):
        if len(answer) == stop - start:
            return answer
        problem = f"it ends at byte {start + len(answer)}"
    elif isinstance(answer, FileNotFoundError) or getattr(answer, "errno", None) == errno.EINVAL:
        problem = reason(answer)
    else:
        with reaching(url):
            raise answer
    raise DamagedData(
        f"cannot fetch bytes {start} to {stop} of {url}: {problem}; the object changed after the trajectory was "
        "opened, so open it again, or restore the object"
    )


def _joined(pieces: list[bytes]) -> bytes:
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def open_bytes(path: str) -> IO[bytes]:
    """Open a file for reading; one behind a URL is read by ranges.

    Raises
    ------
    OSError
        It cannot be opened, or is a pipe or a device, which reading would wait for.
    """
    if not is_url(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            os.close(descriptor)
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            raise OSError(errno.EINVAL, "It is a pipe or a device, not a file", path)
        return os.fdopen(descriptor, "rb")
    from fsspec.core import url_to_fs

    configure_stores()
    store, key = url_to_fs(path)
    return cast(IO[bytes], store.open(key, "rb", block_size=sizes.READAHEAD_BYTES))


def read_bytes(path: Path, most: int | None = MOST_WHOLE) -> bytes:
    """Read a whole file; see `open_bytes`.

    Parameters
    ----------
    path
        The file.
    most
        Bytes beyond which a local file is refused; None reads files of any size.

    Raises
    ------
    OSError
        It is larger.
    """
    with open_bytes(str(path)) as file:
        size = 0 if is_url(path) else os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise OSError(errno.EFBIG, f"It has {size:,} bytes, more than {most:,}", str(path))
        return file.read()


def concurrently(function: Callable[[Item], Value], items: Iterable[Item], folder: object) -> Iterable[Value]:
    """Call a function with each of several things in a folder; behind a URL many at once, as each waits."""
    if not is_url(folder):
        return map(function, items)
    with ThreadPoolExecutor(sizes.REQUESTS) as pool:
        return list(pool.map(function, items))


def survey(folder: Path) -> None:
    """List a whole folder behind a URL in one request, so that looking at its entries needs no more."""
    if is_url(folder) and not is_web(folder):  # web servers list one folder at a time
        remote: Any = folder
        remote.fs.find(remote.path)
