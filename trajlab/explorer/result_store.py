"""Store of the results that a page computes."""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import platformdirs
import xarray as xr

from trajlab.errors import TrajlabError
from trajlab.explorer.source import Source
from trajlab.explorer.stored_result import read_lazily
from trajlab.schema import STORE_FILE

FINGERPRINT = "explored"
"""Attr of a computed result: the fingerprint of its runs."""


class ResultStore:
    """Computed results on disk.

    Results of followed runs lie in one folder for each state of the runs' files.

    Parameters
    ----------
    chosen
        Folder of the results; None for one in the user's cache.
    source
        Runs that the results are of.
    fingerprint
        Fingerprint of the files of the runs.
    follow
        Whether the runs are still being written.

    Attributes
    ----------
    folder
        Where the results are kept.
    paths
        Path of each result by name.
    """

    def __init__(self, chosen: Path | None, source: Source, fingerprint: str, *, follow: bool):
        self._chosen, self._follow = chosen, follow
        self.paths: dict[str, Path] = {}
        self._replaced: dict[str, Path] = {}
        self.update(source, fingerprint)

    def update(self, source: Source, fingerprint: str) -> None:
        """Set the fingerprint of the runs after their files have changed."""
        self.fingerprint = fingerprint
        self.folder = self._chosen or cache_folder(source, fingerprint)

    def path(self, name: str) -> Path:
        """Return the path to write a result to; a view never reads an older result from there."""
        apart = self._follow and self._chosen is not None
        return (self.folder / self.fingerprint[:12] if apart else self.folder) / f"{name}.zarr"

    def stored(self, name: str) -> xr.Dataset | None:
        """Open a stored result of the runs as they are now; return None if there is none."""
        path = self.path(name)
        if not (path / STORE_FILE).exists():
            return None
        try:
            result = read_lazily(path)
        except TrajlabError:
            return None  # another version, or damaged: computed anew
        return result if result.attrs.get(FINGERPRINT) == self.fingerprint else None

    def keep(self, name: str, path: Path) -> None:
        """Set the path of a result, and remove the one before the last, which no view reads any more."""
        before = self.paths.get(name)
        self.paths[name] = path
        if before is not None and before != path:
            if name in self._replaced:
                _remove(self._replaced[name])
            self._replaced[name] = before

    def clear(self) -> None:
        """Remove all results that were replaced."""
        while self._replaced:
            _remove(self._replaced.popitem()[1])


def cache_folder(source: Source, fingerprint: str) -> Path:
    """Return the folder of the user's cache for the results of runs; a temporary one for runs in memory."""
    if not source.paths:
        return Path(tempfile.mkdtemp(prefix="trajlab-explore-"))
    name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in source.title)
    return Path(platformdirs.user_cache_dir("trajlab")) / "explore" / f"{name[:60]}-{fingerprint[:12]}"


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):  # other results may lie beside it
        path.parent.rmdir()
