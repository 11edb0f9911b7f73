"""Writing a folder whole or not at all: under a temporary name first, then renamed."""

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trajlab.errors import OutputExists, TrajlabError


@contextmanager
def whole(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside the target that takes the target's name if all goes well.

    Parameters
    ----------
    target
        Where the result shall stand.
    replace
        Whether a target that exists is replaced; it stays as it is until the new one is complete.

    Raises
    ------
    OutputExists
        The target exists and is not to be replaced.
    TrajlabError
        The disk is full or the folder can not be written to.
    """
    if target.exists() and not replace:
        raise OutputExists(
            f"{target} was to be written; it exists already. Choose another name, remove it, or pass --overwrite."
        )
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
