"""Errors that a user can act on: each says what failed, what was found, and what to do."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class TrajlabError(Exception):
    """An error that the user can act on; the command line prints it in one line and exits with 1."""


class DamagedData(TrajlabError):
    """A file or store is truncated, corrupt, or of another version."""


class AmbiguousData(TrajlabError):
    """A folder can be read in several ways, and nothing in it says which is right."""


class MissingData(TrajlabError):
    """A trajectory or a file lacks what is needed: a parameter, a step, gradients, a probe."""


class BadSetting(TrajlabError, ValueError):
    """A setting or an argument has an invalid value."""


class UntrustedCode(MissingData):
    """A data file names code that would have to run, and nobody said that it may."""


class OutputExists(TrajlabError, FileExistsError):
    """The output path exists; nothing is overwritten silently."""


class AlertFired(TrajlabError):
    """A rule named in --fail-on fired, or could not be checked."""


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
    """Print an error that the user can act on in one line on stderr, and exit with 1.

    Parameters
    ----------
    program
        Name of the program, which begins the line.
    """
    try:
        yield
    except TrajlabError as error:
        _exit(f"{program}: {error}")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in FILE_ERRORS:
            raise
        _exit(f"{program}: cannot read or write {error.filename or 'a file'}: {error.strerror}")


def _exit(message: str) -> None:
    print(message.replace("\n", " "), file=sys.stderr)
    sys.exit(1)
