"""Where things lie: a path on this machine, or a URL of an object store such as s3://bucket/run."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from trajlab.errors import BadSetting, MissingData, TrajlabError

CLIENTS = ("aiobotocore", "aiohttp", "azure", "botocore", "gcsfs", "google")
"""Packages whose errors say that an object store could not be reached."""


def is_url(path: object) -> bool:
    """Tell whether a path is a URL.

    >>> is_url("s3://bucket/run"), is_url(Path("runs/first"))
    (True, False)
    """
    return "://" in str(path)


def as_path(path: str | os.PathLike) -> Path:
    """Give a path as an object; for a URL that is a `upath.UPath`, which has the methods of `pathlib.Path`.

    Nothing is reached yet, and what was known of the object store's folders is forgotten: they may have changed.
    Credentials and options are those that fsspec finds in the environment and its configuration, as the processes of
    a cluster do.

    Raises
    ------
    BadSetting
        The URL is of no known kind, was damaged by `pathlib`, or brings options that tasks would not know.
    MissingData
        The package that reaches this kind of store is not installed.
    """
    text = str(path)
    if text.startswith("file://"):
        return Path(text.removeprefix("file://"))
    if not is_url(path):
        if isinstance(path, Path) and re.match(r"[a-z0-9]{2,}:/", text) and not path.exists():
            raise BadSetting(f"{text} was given; pathlib takes a slash out of URLs. Give the URL as a text.")
        return Path(path)
    if getattr(path, "storage_options", None):
        raise BadSetting(
            f"{text} was given with options; the processes that read it would not know them. Set them in the "
            "environment (AWS_ENDPOINT_URL, …) or in fsspec's configuration, and give the URL alone."
        )
    from upath import UPath

    try:
        found = UPath(text.rstrip("/"))
        found.fs.invalidate_cache()
    except ValueError as error:
        raise BadSetting(f"{text} was to be reached; {error}. URLs such as s3://bucket/run are known.") from error
    except ImportError as error:
        raise MissingData(
            f"{text} was to be reached; {error}. `pip install trajlab[s3]` brings what s3:// needs, other stores need "
            "the package of fsspec that is named here."
        ) from error
    return cast(Path, found)


@contextmanager
def reaching(path: object) -> Iterator[None]:
    """Turn errors of an object store into ours; those of a local path, and of a full disk, stay as they are."""
    try:
        yield
    except Exception as error:
        store = isinstance(error, OSError) and not isinstance(error, TrajlabError) and error.errno != errno.ENOSPC
        if not is_url(path) or not (store or type(error).__module__.partition(".")[0] in CLIENTS):
            raise
        raise TrajlabError(
            f"{path} was to be reached; {reason(error)}. Check the address, the credentials and the network."
        ) from error


def reason(error: BaseException) -> str:
    """Give the first line of what an error says.

    >>> reason(OSError(22, "The range is not satisfiable")), reason(KeyError())
    ('The range is not satisfiable', 'KeyError()')
    """
    text: Any = error.strerror if isinstance(error, OSError) and error.strerror else error
    return (str(text) or repr(error)).splitlines()[0].rstrip(".")
