"""Folders on a plain web server, which lists them as HTML pages, or does not list them."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

from upath.implementations.http import HTTPPath

from trajlab.errors import MissingData
from trajlab.schema import STORE_FILE

REFUSED = (401, 403, 405)
"""Status codes of servers that do not list a folder, or that ask for credentials."""


class WebPath(HTTPPath):
    """A path behind http:// or https://.

    A URL is a folder if the server redirects it to one that ends with a slash, or if it is a Zarr store, whose
    consolidated metadata spares readers a listing.
    """

    __slots__ = ()

    def __new__(cls, *arguments: Any, **options: Any) -> "WebPath":
        """Make a path; `UPath.__new__` refuses classes that are not registered for all its users."""
        return object.__new__(cls)

    @property
    def is_store(self) -> bool:
        """Whether it is a Zarr store; sends a request."""
        return bool(self.fs.exists(f"{self.path.rstrip('/')}/{STORE_FILE}"))

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is a folder."""
        try:
            url = self.fs.info(self.path).get("url", "")
        except FileNotFoundError as error:  # also of a folder that the server does not list
            is_store = self.is_store
            if not is_store and getattr(error.__cause__, "status", 0) in REFUSED:
                raise _unlisted(self.path) from error
            return is_store
        return str(url).partition("?")[0].endswith("/") or self.path.endswith("/")

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is a file."""
        try:
            url = self.fs.info(self.path).get("url", "")
        except FileNotFoundError:
            return False
        return not str(url).partition("?")[0].endswith("/") and not self.path.endswith("/")

    def iterdir(self) -> Iterator["WebPath"]:
        """Yield the entries of a folder.

        Raises
        ------
        MissingData
            The server does not list the folder.
        """
        folder = self.path.rstrip("/")
        try:
            entries: list[dict[str, Any]] = self.fs.ls(f"{folder}/", detail=True)
        except Exception as error:
            if not (isinstance(error, FileNotFoundError) or getattr(error, "status", 0) in REFUSED):
                raise
            entries = []
        names = [unquote(str(entry["name"]).removeprefix(f"{folder}/").rstrip("/")) for entry in entries]
        names = [name for name in names if name and not set("/?#") & set(name) and name not in (".", "..")]
        if not names:
            raise _unlisted(folder)
        for name in sorted(dict.fromkeys(names)):
            yield self / name

    def glob(
        self, pattern: str, *, case_sensitive: bool | None = None, recurse_symlinks: bool = False
    ) -> Iterator[Any]:
        """Yield the entries that match a pattern, a level for each part; `**` is not supported."""
        first, _, others = pattern.partition("/")
        is_literal = not set("*?[") & set(first)
        for entry in [self / first] if is_literal else self.iterdir():
            if not is_literal and not fnmatchcase(entry.name, first):
                continue
            if not others:
                yield from [entry] if not is_literal or entry.exists() else []
            elif entry.is_dir():
                yield from entry.glob(others)


def _unlisted(folder: str) -> MissingData:
    return MissingData(
        f"cannot list {folder}: the web server refuses, or shows no listing of this folder; turn listings on "
        "(autoindex), copy the folder to this machine, or serve a store that `trajlab pack` wrote, which needs none"
    )


def files_below(path: WebPath) -> dict[str, dict[str, Any]]:
    """Return the server's facts about all files below a folder, by URL; of a store, about its metadata alone."""
    if path.is_store:
        url = f"{path.path.rstrip('/')}/{STORE_FILE}"
        return {url: path.fs.info(url)}
    files: dict[str, dict[str, Any]] = {}
    for entry in path.iterdir() if path.is_dir() else ():
        files |= files_below(entry) if entry.is_dir() else {entry.path: entry.fs.info(entry.path)}
    return files
