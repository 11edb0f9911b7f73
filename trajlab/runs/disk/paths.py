"""Paths on this machine and URLs of object stores, such as s3://bucket/run."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from trajlab.errors import BadSetting, MissingData, TrajlabError
from trajlab.runs.disk.stores import configure_stores

CLIENTS = ("aiobotocore", "aiohttp", "azure", "botocore", "gcsfs", "google")
"""Packages whose errors mean that an object store cannot be reached."""


def is_url(path: object) -> bool:
    """Return whether a path is a URL.

    >>> is_url("s3://bucket/run"), is_url(Path("runs/first"))
    (True, False)
    """
    return "://" in str(path)


def is_web(path: object) -> bool:
    """Return whether a path is a URL of a plain web server.

    >>> is_web("https://host/run"), is_web("s3://bucket/run")
    (True, False)
    """
    return str(path).startswith(("http://", "https://"))


def as_path(path: str | os.PathLike) -> Path:
    """Return a path as an object; for a URL that is a `upath.UPath`, which has the methods of `pathlib.Path`.

    No request is sent yet. Cached listings of the object store are dropped, as its folders may have changed.
    Credentials and options are those that fsspec finds in the environment and its configuration, as they reach all
    processes of a cluster.

    Raises
    ------
    BadSetting
        The URL is of an unknown kind, was damaged by `pathlib`, or has options of its own.
    MissingData
        The package for this kind of store is not installed.
    """
    text = str(path)
    if text.startswith("file://"):
        return Path(text.removeprefix("file://"))
    if not is_url(path):
        if isinstance(path, Path) and re.match(r"[a-z0-9]{2,}:/", text) and not path.exists():
            raise BadSetting(f'cannot use {text}: pathlib collapses "//" in URLs; pass the URL as a string')
        return Path(path)
    if getattr(path, "storage_options", None):
        raise BadSetting(
            f"cannot use {text} with options of its own: other processes that read it lack them; set them in the "
            "environment (AWS_ENDPOINT_URL, …) or in fsspec's configuration, and pass the URL alone"
        )
    from upath import UPath

    configure_stores()

    try:
        if is_web(text):
            from trajlab.runs.disk.web_path import WebPath

            return cast(Path, WebPath(text.rstrip("/")))
        url = UPath(text.rstrip("/"))
        url.fs.invalidate_cache()
    except ValueError as error:
        raise BadSetting(f"cannot reach {text}: {error}; use a URL such as s3://bucket/run") from error
    except ImportError as error:
        raise MissingData(
            f"cannot reach {text}: {error}; s3:// needs `pip install trajlab[s3]`, other stores the package of fsspec "
            "that is named here"
        ) from error
    return cast(Path, url)


def kind_of(path: Path) -> str:
    """Return in words what lies at a path that is not a folder."""
    if path.exists():
        return "a file"
    return "nothing, or a folder that the web server does not list" if is_web(path) else "nothing"


@contextmanager
def reaching(path: object) -> Iterator[None]:
    """Turn errors of an object store into ours; those of local paths and of full disks stay as they are."""
    try:
        yield
    except Exception as error:
        store = isinstance(error, OSError) and not isinstance(error, TrajlabError) and error.errno != errno.ENOSPC
        if not is_url(path) or not (store or type(error).__module__.partition(".")[0] in CLIENTS):
            raise
        raise TrajlabError(
            f"cannot reach {path}: {reason(error)}; check the address, the credentials and the network"
        ) from error


def reason(error: BaseException) -> str:
    """Return the message of an error in one line, with its type where the message alone says little.

    >>> reason(OSError(22, "The range is not satisfiable")), reason(KeyError("shape"))
    ('The range is not satisfiable', "KeyError: 'shape'")
    """
    text: Any = error.strerror if isinstance(error, OSError) and error.strerror else error
    message = " ".join(str(text).split())[:300].rstrip(" .")
    if isinstance(error, KeyError | IndexError | AttributeError | TypeError) or not message:
        return f"{type(error).__name__}: {message}" if message else repr(error)
    return message
