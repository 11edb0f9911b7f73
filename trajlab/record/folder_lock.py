"""The lock of the folder that a run is recorded to: of two processes, one records."""

import errno
import fcntl
import os
import socket
from pathlib import Path

from trajlab.errors import OutputExists

LOCK_FILE = ".tmp-lock"
"""File in the folder of a run that is locked while the run is recorded; it holds the process and its machine."""

UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""Errors of file systems without locks."""


class FolderLock:
    """A lock that ends with the process, however it ends.

    Where the file system has no locks, every process gets one.

    Parameters
    ----------
    directory
        The folder of the run; it is made if it does not exist.

    Raises
    ------
    OutputExists
        Another Recorder holds the lock.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK_FILE
        directory.mkdir(parents=True, exist_ok=True)
        while True:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in UNSUPPORTED:
                    holder = os.read(self._descriptor, 200).decode(errors="replace").strip()
                    os.close(self._descriptor)
                    who, remedy = holder or "another process", "record in one process only"
                    if holder == _this_process():
                        who, remedy = "another Recorder of this process", "close that one, or delete all names of it"
                    raise OutputExists(
                        f"cannot record to {directory}: {who} is recording there; name another folder, or {remedy}"
                    ) from None
            if self._is_current():
                break
            os.close(self._descriptor)
        os.truncate(self._descriptor, 0)
        os.write(self._descriptor, _this_process().encode())

    def release(self) -> None:
        """Remove the file and end the lock."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _is_current(self) -> bool:
        """Return whether the locked file is still the one in the folder: its last holder removes it."""
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
