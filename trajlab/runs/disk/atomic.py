"""Write files and folders completely or not at all: under a temporary name, then renamed; see `upload` for URLs."""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from trajlab.errors import OutputExists, TrajlabError
from trajlab.runs.disk.documents import parse_json
from trajlab.runs.disk.paths import is_url, reaching
from trajlab.runs.disk.remote import read_bytes
from trajlab.runs.disk.upload import check_writable, is_unfinished, uploaded
from trajlab.schema import STORE_FILE, family

OLD = ".old-"
"""What the name of a target that is being replaced is followed by, and the process."""


@contextmanager
def atomic(
    target: Path, *, replaces: str | None = None, growing: Collection[str] = (), streams: bool = False
) -> Iterator[Path]:
    """Yield a temporary folder that replaces the target when the block ends without an error.

    Parameters
    ----------
    target
        Path or URL to write.
    replaces
        A target that exists is replaced if it is a Zarr group with these `Conventions`, of any version; it stays
        readable until the new one is complete.
    growing, streams
        How a store behind a URL is written; see `upload.uploaded`.

    Raises
    ------
    OutputExists
        The target exists and may not be replaced.
    TrajlabError
        The disk is full or the folder cannot be written to.
    """
    check_free(target, replaces)
    if is_url(target):
        with uploaded(target, growing=growing, streams=streams) as part:
            yield part
        return
    part = target.with_name(f"{_part_prefix(target)}{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        part.mkdir()
        with _locked(part):
            yield part
            if target.exists():
                check_free(target, replaces)  # another process may have written there meanwhile
                old = target.with_name(f".{target.name}{OLD}{os.getpid()}")
                target.rename(old)
                part.rename(target)
                _remove(old)
            else:
                part.rename(target)
    except OSError as error:
        if isinstance(error, TrajlabError):
            raise
        raise _failed(target, error) from error
    finally:
        _remove(part)


def check_free(target: Path, replaces: str | None = None) -> None:
    """Raise OutputExists if a target exists and may not be replaced; see `atomic`."""
    if not is_url(target):
        _restore(target)
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
        conventions = parse_json(read_bytes(target / STORE_FILE))["attributes"].get("Conventions")
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
    _remove_abandoned(target)
    part = target.with_name(f"{_part_prefix(target)}{os.getpid()}")
    try:
        part.touch()
        with _locked(part):
            part.write_bytes(content)
            part.replace(target)
    except OSError as error:
        raise _failed(target, error) from error
    finally:
        part.unlink(missing_ok=True)


def _failed(target: Path, error: OSError) -> TrajlabError:
    """Return the error of a target that could not be written."""
    reason = "the disk is full" if error.errno == errno.ENOSPC else str(error)
    return TrajlabError(
        f"cannot write {target}: {reason}; nothing was changed there, so free space or choose another path"
    )


def _part_prefix(target: Path) -> str:
    """Return how names of what is being written for a target begin; the process follows."""
    return f".{target.name}.part-"


@contextmanager
def _locked(part: Path) -> Iterator[None]:
    """Lock what is being written: the lock ends with the process, which tells the abandoned from the others."""
    descriptor = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # the file system has no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _is_locked(part: Path) -> bool:
    """Return whether a process that is alive is writing something."""
    try:
        descriptor = os.open(part, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:  # the file system has no locks
        return Path(f"/proc/{part.name.rpartition('-')[2]}").exists()
    finally:
        os.close(descriptor)


def _remove_abandoned(target: Path) -> None:
    """Remove what killed processes left beside a target; raise OutputExists if a living one is writing there."""
    for part in target.parent.glob(f"{escape(_part_prefix(target))}*"):
        if _is_locked(part):
            raise OutputExists(
                f"cannot write {target}: process {part.name.rpartition('-')[2]} is writing there; wait for it, or "
                "choose another name"
            )
        _remove(part)


def _restore(target: Path) -> None:
    """Put back what a process that was killed while replacing a target had moved aside, or remove it."""
    for old in target.parent.glob(f"{escape(f'.{target.name}{OLD}')}*"):
        if any(map(_is_locked, target.parent.glob(f"{escape(_part_prefix(target))}*"))):
            return
        if target.exists() or target.is_symlink():
            _remove(old)
        else:
            old.rename(target)


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
