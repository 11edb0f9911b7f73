"""Write files and folders completely or not at all: under a temporary name, then renamed; see `upload` for URLs."""

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trajlab.errors import OutputExists, TrajlabError
from trajlab.runs.disk.paths import is_url, reaching
from trajlab.runs.disk.upload import check_writable, is_unfinished, uploaded
from trajlab.schema import STORE_FILE, family


@contextmanager
def atomic(target: Path, *, replaces: str | None = None, extends: bool = False) -> Iterator[Path]:
    """Yield a temporary folder that replaces the target when the block ends without an error.

    Parameters
    ----------
    target
        Path or URL to write.
    replaces
        A target that exists is replaced if it is a Zarr group with these `Conventions`, of any version; it stays as it
        is until the new one is complete, or until writing begins behind a URL.
    extends
        Behind a URL, add to the content of the target.

    Raises
    ------
    OutputExists
        The target exists and may not be replaced.
    TrajlabError
        The disk is full or the folder cannot be written to.
    """
    check_free(target, replaces)
    if is_url(target):
        with uploaded(target, extends=extends) as part:
            yield part
        return
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        part.mkdir()
        yield part
        if target.exists():
            old = target.with_name(f".{target.name}.old-{os.getpid()}")
            target.rename(old)
            part.rename(target)
            _remove(old)
        else:
            part.rename(target)
    except OSError as error:
        if isinstance(error, TrajlabError):
            raise
        reason = "the disk is full" if error.errno == errno.ENOSPC else str(error)
        raise TrajlabError(
            f"cannot write {target}: {reason}; nothing was changed there, so free space or choose another path"
        ) from error
    finally:
        _remove(part)


def check_free(target: Path, replaces: str | None = None) -> None:
    """Raise OutputExists if a target exists and may not be replaced; see `atomic`."""
    with reaching(target):
        if not target.exists() and not target.is_symlink():
            if is_url(target):
                check_writable(target)
            return
        unfinished = is_unfinished(target)
    if unfinished and replaces is not None:
        return
    if unfinished:
        raise OutputExists(
            f"cannot write {target}: another process is writing there, or a write was interrupted; wait, choose "
            "another name, or pass --overwrite"
        )
    if replaces is None:
        raise OutputExists(
            f"cannot write {target}: it exists already; choose another name, remove it, or pass --overwrite"
        )
    try:
        conventions = json.loads((target / STORE_FILE).read_text())["attributes"].get("Conventions")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        conventions = None
    if family(conventions) != family(replaces):
        raise OutputExists(
            f"cannot replace {target}: it is not {replaces} but {conventions or 'something else'}, which is never "
            "overwritten; choose another name, or remove it yourself"
        )


def write_file(target: Path, content: bytes) -> None:
    """Write one file completely or not at all."""
    if is_url(target):
        with reaching(target):
            target.write_bytes(content)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    try:
        part.write_bytes(content)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _remove_abandoned(target: Path) -> None:
    """Remove the temporary folders that killed processes left beside a target."""
    for part in target.parent.glob(f".{target.name}.part-*"):
        writer = part.name.rpartition("-")[2]
        if not (writer.isdigit() and Path(f"/proc/{writer}").exists()) or int(writer) == os.getpid():
            _remove(part)


def _remove(path: Path) -> None:
    """Remove a file or folder; other threads may still write into it for a moment after an error."""
    if path.is_dir():
        for _ in range(20):
            shutil.rmtree(path, ignore_errors=True)
            if not path.exists():
                return
            time.sleep(0.05)
    elif path.exists() or path.is_symlink():
        path.unlink()
