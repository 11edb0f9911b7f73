"""How a command ends: 0 success, 1 an error (one line on stderr), 2 a usage error, 130 interrupted."""

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trajlab.errors import TrajlabError

ERROR, INTERRUPTED = 1, 130

FILE_ERRORS = (
    errno.ENOSPC,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
)
"""Errors of the file system that a user can remove; any other is a bug and keeps its traceback."""


@contextmanager
def errors_in_one_line(program: str) -> Iterator[None]:
    """Turn an error that a user can act on into one line on stderr, and exit with 1.

    Parameters
    ----------
    program
        Name of the program, which begins the line.
    """
    try:
        yield
    except TrajlabError as error:
        _exit(program, str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ERROR)
    except OSError as error:
        if error.errno not in FILE_ERRORS:
            raise
        _exit(program, f"cannot read or write {error.filename or 'a file'}: {error.strerror}")


@contextmanager
def interruptible(program: str) -> Iterator[None]:
    """Let SIGTERM and ctrl-C remove half-written files, and exit with 130 at once."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code != INTERRUPTED:
            raise
        print(f"{program}: interrupted; nothing half-written is left", file=sys.stderr)
        sys.stdout.flush()
        os._exit(INTERRUPTED)  # does not wait for threads that are starting or computing


def _interrupt(signal_number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _exit(program: str, message: str) -> None:
    print(f"{program}: {message}".replace("\n", " "), file=sys.stderr)
    sys.exit(ERROR)
