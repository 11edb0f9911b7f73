"""Whether a file below a path has changed, by names, sizes and times."""

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from trajlab.runs.disk.paths import is_url, is_web, reaching

VERSIONS = ("ETag", "LastModified", "Last-Modified")
"""Keys of an object's version in listings of stores and servers, the most precise first."""


def fingerprint(path: Path) -> str:
    """Return a hash of the names, sizes and times of all files below a path; no file is read.

    Parameters
    ----------
    path
        Folder, or URL of one; of what does not exist, the hash is that of an empty folder.
    """
    digest = sha256()
    for line in _listing(path):
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _listing(path: Path) -> list[str]:
    """Return a line for each file below a path."""
    if is_url(path):
        remote: Any = path
        with reaching(path):
            remote.fs.invalidate_cache(remote.path)
            from trajlab.runs.disk.web_path import files_below

            listing = files_below(remote) if is_web(path) else remote.fs.find(remote.path, detail=True)
        return [
            f"{name}\0{info.get('size')}\0{next((info[key] for key in VERSIONS if key in info), None)}\n"
            for name, info in sorted(listing.items())
        ]
    lines = []
    for folder, folders, files in os.walk(path):  # passes over folders that are renamed meanwhile
        folders.sort()
        for file in sorted(files):
            with suppress(FileNotFoundError):
                stat = os.stat(os.path.join(folder, file))
                lines.append(f"{folder}\0{file}\0{stat.st_size}\0{stat.st_mtime_ns}\n")
    return lines
