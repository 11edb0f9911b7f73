"""Upload a folder to an object store completely or not at all; an old version stays readable until then.

Object stores cannot rename a folder. Instead one small object switches versions: the root zarr.json of a Zarr group,
which holds the metadata of all arrays, and with it the keys of their chunks. The chunks of a new version get other keys
than those of the old one (see `store_keys`). Both lie side by side until one request replaces the root.
"""

import os
import re
import socket
import uuid
from collections.abc import Collection, Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trajlab.errors import DamagedData, OutputExists
from trajlab.runs.disk.paths import is_url, reaching
from trajlab.runs.disk.remote import concurrently
from trajlab.runs.disk.store_keys import StoreKeys, separate
from trajlab.runs.disk.store_nodes import nodes_of_store
from trajlab.schema import RUN_FILE, STORE_FILE, UNFINISHED_FILE

ROOTS = (STORE_FILE, RUN_FILE)
"""Files without which a folder opens neither as a store nor as a run."""


@contextmanager
def uploaded(target: Path, *, growing: Collection[str] = (), streams: bool = False) -> Iterator[Path]:
    """Yield a local folder whose files are uploaded to a URL when the block ends without an error.

    A new folder is marked as unfinished while it is written. Its root is written last: without it, neither xarray nor
    trajlab opens the folder.

    Only Zarr groups are replaced. First, the chunks of the new version are written beside those of the old one. Then
    one request replaces the root zarr.json, from which on readers get the new version. Then the other zarr.json files
    are written, and files of the old version alone are removed. A killed process leaves the old or the new version
    whole, and perhaps files of neither, which the next write removes.

    Parameters
    ----------
    target
        The URL.
    growing
        Paths of arrays that keep the keys of their chunks: the new version only adds rows to them.
    streams
        The block itself moves chunks to the URL, under keys that the old version does not use, or of growing arrays.

    Raises
    ------
    OutputExists
        Another process is writing to the URL.
    TrajlabError
        The object store cannot be reached or written to.
    """
    mark, owner = target / UNFINISHED_FILE, f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex}"
    with reaching(target), TemporaryDirectory(prefix="trajlab-", ignore_cleanup_errors=True) as folder:
        _check_alone(target)
        mark.write_text(
            f"A folder that trajlab is writing, or did not finish. Write it anew with --overwrite.\n{owner}"
        )
        nodes, old = stored_version(target)
        _remove(target, but=old)
        try:
            yield Path(folder)
            if nodes:
                separate(Path(folder), nodes, growing=growing)
                new = StoreKeys(nodes_of_store(Path(folder)))
            chunks, *metadata = _phases(Path(folder), replaces=bool(nodes))
            _put(Path(folder), target, chunks)
        except BaseException:
            with suppress(Exception):  # the first error counts
                _remove(target, but=old)
                if not streams:  # other threads may still be moving files
                    mark.unlink()
            raise
        if _owner(target) != owner:
            raise OutputExists(f"cannot write {target}: another process began to write there; write it again")
        for files in metadata:
            _put(Path(folder), target, files)
        if nodes:
            _remove(target, but=new)
        mark.unlink()


def check_writable(target: Path) -> None:
    """Write and remove the mark, so that a missing permission shows before anything is computed."""
    mark = target / UNFINISHED_FILE
    with reaching(target):
        mark.write_text("")
        mark.unlink()


def stored_version(target: Path) -> tuple[dict[str, Any], Container[str]]:
    """Return the nodes and the keys of the Zarr group at a path; both are empty if there is no readable group."""
    if not (target / STORE_FILE).exists():
        return {}, ()
    try:
        nodes = nodes_of_store(target)
        return nodes, StoreKeys(nodes) if nodes else ()
    except (DamagedData, ValueError, KeyError, TypeError, AttributeError):  # damaged: none of its keys can be kept
        return {}, ()


def is_unfinished(target: Path) -> bool:
    """Return whether a first write to a URL has begun and not ended."""
    return is_url(target) and not (target / STORE_FILE).exists() and (target / UNFINISHED_FILE).exists()


def move(file: Path, target: Path) -> None:
    """Move a local file to a URL."""
    remote: Any = target
    with reaching(target):
        remote.fs.put_file(str(file), remote.path)
    file.unlink()


def _owner(target: Path) -> str:
    """Return the writer that marked a URL as being written to; empty if there is no mark."""
    try:
        return (target / UNFINISHED_FILE).read_text().rpartition("\n")[2]
    except FileNotFoundError:
        return ""


def _check_alone(target: Path) -> None:
    """Raise OutputExists if a living process of this machine is writing to a URL; of other machines none is known."""
    owner = re.fullmatch(r"(\S+) (\d+) \w+", _owner(target))
    if owner is None or owner[1] != socket.gethostname() or int(owner[2]) == os.getpid():
        return
    with suppress(ProcessLookupError):
        with suppress(PermissionError):
            os.kill(int(owner[2]), 0)
        raise OutputExists(
            f"cannot write {target}: process {owner[2]} is writing there; wait for it, or remove {UNFINISHED_FILE} if "
            "that process is another program"
        )


def _phases(folder: Path, *, replaces: bool) -> list[list[str]]:
    """Return lists of the files of a folder, in the order of writing; files of one list may be written at once."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    roots = [name for name in ROOTS if name in names]
    others = [name for name in names if name not in roots]
    if not replaces:
        return [others, roots]
    metadata = [name for name in others if name.endswith(f"/{STORE_FILE}")]
    return [[name for name in others if not name.endswith(f"/{STORE_FILE}")], roots, metadata]


def _put(folder: Path, target: Path, names: Collection[str]) -> None:
    """Upload files of a folder, many at once."""
    remote: Any = target
    list(concurrently(lambda name: remote.fs.put_file(str(folder / name), (remote / name).path), names, target))


def _remove(target: Path, *, but: Container[str]) -> None:
    """Remove the content of a URL, its root first, except the keys in `but` and the mark."""
    remote: Any = target
    remote.fs.invalidate_cache()
    folder = remote.path.strip("/") + "/"
    names = {key: key.strip("/").removeprefix(folder) for key in remote.fs.find(remote.path)}
    surplus = [key for key, name in names.items() if name != UNFINISHED_FILE and name not in but]
    for part in ([key for key in surplus if names[key] in ROOTS], [key for key in surplus if names[key] not in ROOTS]):
        if part:
            remote.fs.rm(part)
