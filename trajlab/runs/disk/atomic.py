"""Writing whole or not at all: under a temporary name first, then renamed; behind a URL see `uploading`."""

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
from trajlab.schema import STORE_FILE


@contextmanager
def atomic(target: Path, *, replaces: str | None = None, extends: bool = False) -> Iterator[Path]:
    """Give a temporary folder that takes the target's place if all goes well.

    Parameters
    ----------
    target
        Where the result shall stand.
    replaces
        A target that exists is replaced if it is a Zarr group with these `Conventions`; it stays as it is until the
        new one is complete, or until writing begins behind a URL.
    extends
        Behind a URL, add to what the target holds.

    Raises
    ------
    OutputExists
        The target exists and is not to be replaced, or is something else than what may be.
    TrajlabError
        The disk is full or the folder can not be written to.
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
            f"{target} was to be written; {reason}. Nothing was changed there: free space or choose another place."
        ) from error
    finally:
        _remove(part)


def check_free(target: Path, replaces: str | None = None) -> None:
    """Refuse a target that exists, unless it may be replaced; see `atomic`."""
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
            f"{target} was to be written; somebody is writing there now, or was interrupted. Wait, choose another "
            "name, or pass --overwrite."
        )
    if replaces is None:
        raise OutputExists(
            f"{target} was to be written; it exists already. Choose another name, remove it, or pass --overwrite."
        )
    try:
        found = json.loads((target / STORE_FILE).read_text())["attributes"].get("Conventions")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        found = None
    if found != replaces:
        raise OutputExists(
            f"{target} was to be replaced; it is no {replaces} but {found or 'something else'}, which is never "
            "overwritten. Choose another name, or remove it yourself."
        )


def write_file(target: Path, content: bytes) -> None:
    """Write one file whole or not at all."""
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
    """Remove what writers that were killed left beside a target."""
    for left in target.parent.glob(f".{target.name}.part-*"):
        writer = left.name.rpartition("-")[2]
        if not (writer.isdigit() and Path(f"/proc/{writer}").exists()) or int(writer) == os.getpid():
            _remove(left)


def _remove(path: Path) -> None:
    """Remove a file or folder; other threads may still write into it for a moment after an error."""
    if path.is_dir():
        for _ in range(20):
            shutil.rmtree(path, ignore_errors=True)
            if not path.exists():
                return
            time.sleep(0.05)
    else:
        path.unlink(missing_ok=True)
