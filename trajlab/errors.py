"""Errors that a user can act on: each says what failed, what was found, and what to do."""

import errno
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from trajlab.terminal import printable

DEBUG = "TRAJLAB_DEBUG"
"""Environment variable that, if set, shows tracebacks below errors; ``trajlab --debug`` sets it."""

BUG = 3
"""Exit code of an exception that nobody expected."""


def first_of(names: Iterable[str], most: int = 6, separator: str = ", ") -> str:
    """Join the first of many names, and say how many more there are.

    >>> first_of(["a", "b", "c", "d"], 2), first_of(["a", "b"])
    ('a, b and 2 more', 'a, b')
    """
    listed = list(names)
    return separator.join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


class TrajlabError(Exception):
    """An error that the user can act on; the command line prints it in one line and exits with 1."""


class DamagedData(TrajlabError):
    """A file or store is truncated, corrupt, or of another version."""


class AmbiguousData(TrajlabError):
    """A folder can be read in several ways, and nothing in it says which is right."""


class MissingData(TrajlabError):
    """A trajectory or a file lacks what is needed: a parameter, a step, gradients, a probe."""


class MissingTensor(MissingData, KeyError):
    """A mapping of tensors has none of a name."""

    __str__ = Exception.__str__  # of a KeyError it is the quoted message


class BadSetting(TrajlabError, ValueError):
    """A setting or an argument has an invalid value."""


class UntrustedCode(MissingData):
    """Data names code that would have to run, or leads to other places, and nobody said that it may."""


class OutputExists(TrajlabError, FileExistsError):
    """The output path exists; nothing is overwritten silently."""


class AlertFired(TrajlabError):
    """A rule named in --fail-on fired, or could not be checked."""


FILE_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EMFILE,
    errno.ENFILE,
    errno.EIO,
    errno.EFBIG,
)
"""Errors of the file system that a user can remove; any other is a bug."""


@contextmanager
def errors_in_one_line(program: str, *, and_bugs: bool = False) -> Iterator[None]:
    """Print an error that the user can act on in one line on stderr, and exit with 1.

    With the environment variable `DEBUG`, the traceback with all causes stands below the line.

    Parameters
    ----------
    program
        Name of the program, which begins the line.
    and_bugs
        Print other exceptions in one line, too, with where they were raised, and exit with `BUG`; they are raised
        otherwise.
    """
    try:
        yield
    except TrajlabError as error:
        _exit(f"{program}: {error}")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FILE_ERRORS:
            _exit(f"{program}: cannot read or write {error.filename or 'a file'}: {error.strerror}")
        lack = _lack_of_memory(error)
        if lack is not None:
            size = f" ({lack})" if str(lack) else ""
            _exit(
                f"{program}: cannot finish: memory is exhausted{size}; choose fewer --workers, or allow it more memory"
            )
        _report(program, error, and_bugs)


def _lack_of_memory(error: BaseException | None) -> BaseException | None:
    """Return the lack of memory that an exception comes from, None if it does not: compilers raise others after it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def _report(program: str, error: Exception, and_bugs: bool) -> NoReturn:
    """Report an exception that nobody expected; raise it unless it is to be printed."""
    if not and_bugs:
        raise error
    at = traceback.extract_tb(error.__traceback__)[-1]
    _exit(
        f"{program}: {type(error).__name__}: {error or 'no message'} ({at.filename}:{at.lineno}, {at.name}). This is a "
        f"bug in {program}, unless it is in a model or stage of your own: run `{program} --debug …` for the traceback, "
        "and report it",
        BUG,
    )


def _exit(message: str, code: int = 1) -> NoReturn:
    print(printable(message.replace("\n", " ")), file=sys.stderr)
    if os.environ.get(DEBUG):
        traceback.print_exc()
    sys.exit(code)


class MissingInput(MissingData):
    """A stage needs an input that the run lacks.

    Parameters
    ----------
    message
        The error in one sentence.
    reason
        What the run lacks, in a few words.
    """

    def __init__(self, message: str, reason: str):
        super().__init__(message)
        self.reason = reason
