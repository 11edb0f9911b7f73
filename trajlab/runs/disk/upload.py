"""Upload a folder to an object store completely or not at all: under a mark that it is unfinished, its root last."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trajlab.runs.disk.paths import is_url, reaching
from trajlab.runs.disk.remote import concurrently
from trajlab.schema import RUN_FILE, STORE_FILE, UNFINISHED_FILE

ROOTS = (STORE_FILE, RUN_FILE)
"""Files without which a folder opens neither as a store nor as a run; they are written last and removed first."""


@contextmanager
def uploaded(target: Path, *, extends: bool = False, streams: bool = False) -> Iterator[Path]:
    """Yield a local folder whose files are uploaded to a URL when the block ends without an error.

    An object store cannot rename a folder, so the order of writing replaces the renaming: first a mark that the folder
    is unfinished, then all files but the root, then the root, without which neither xarray nor trajlab opens anything;
    the mark is removed last. Old content is removed before the first file of the new is written, beginning with its
    root: until then, while the block runs, it can be read. After an error of writing everything is removed but the
    mark, as other threads may still be writing; after a killed process the root is missing. In both cases the folder
    stays unfinished until it is written again.

    Parameters
    ----------
    target
        The URL.
    extends
        Add to the store at the URL, whose root stays there until the new one is ready.
    streams
        The block itself moves files to the URL, so that old content is removed before it.

    Raises
    ------
    TrajlabError
        The object store cannot be reached or written to.
    """
    mark = target / UNFINISHED_FILE
    with reaching(target), TemporaryDirectory(prefix="trajlab-", ignore_cleanup_errors=True) as folder:
        mark.write_text("A folder that trajlab is writing, or did not finish. Write it anew with --overwrite.\n")
        if streams and not extends:
            _remove(target)
        try:
            yield Path(folder)
        except BaseException:
            if streams and not extends:
                _remove(target)
            elif not extends and (target / STORE_FILE).exists():
                mark.unlink()
            raise
        try:
            if extends or not streams:
                _remove(target, only_root=extends)
            _put(Path(folder), target)
        except BaseException:
            if not extends:
                _remove(target)
            raise
        mark.unlink()


def check_writable(target: Path) -> None:
    """Write and remove the mark, so that a missing permission shows before anything is computed."""
    mark = target / UNFINISHED_FILE
    with reaching(target):
        mark.write_text("")
        mark.unlink()


def is_unfinished(target: Path) -> bool:
    """Return whether a write to a URL has begun and not ended."""
    return is_url(target) and not (target / STORE_FILE).exists() and (target / UNFINISHED_FILE).exists()


def move(file: Path, target: Path) -> None:
    """Move a local file to a URL."""
    remote: Any = target
    with reaching(target):
        remote.fs.put_file(str(file), remote.path)
    file.unlink()


def _put(folder: Path, target: Path) -> None:
    remote: Any = target
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    roots = [Path(name) for name in ROOTS if Path(name) in files]

    def put(file: Path) -> None:
        remote.fs.put_file(str(folder / file), (remote / file.as_posix()).path)

    for part in ([file for file in files if file not in roots], roots):
        list(concurrently(put, part, target))


def _remove(target: Path, *, only_root: bool = False) -> None:
    """Remove the content of a URL, root first, except for the mark."""
    remote: Any = target
    remote.fs.invalidate_cache()
    folder = remote.path.strip("/") + "/"
    names = {key: key.strip("/").removeprefix(folder) for key in remote.fs.find(remote.path)}
    roots = [key for key, name in names.items() if name in ROOTS]
    others = [key for key, name in names.items() if name not in (*ROOTS, UNFINISHED_FILE)]
    for part in (roots, [] if only_root else others):
        if part:
            remote.fs.rm(part)
