"""Turn whatever damaged data makes a reader raise into an error that names the file."""

from collections.abc import Iterator
from contextlib import contextmanager

from trajlab.errors import DamagedData, MissingData, TrajlabError
from trajlab.runs.disk.paths import is_url, reaching, reason


@contextmanager
def reading(path: object, remedy: str, *, form: str = "", part: str = "") -> Iterator[None]:
    """Name the file that a block reads in whatever error it raises.

    Damaged bytes make parsers raise anything, so that all exceptions are caught; the cause is kept, and ``trajlab
    --debug`` shows it.

    Parameters
    ----------
    path
        The file, folder or URL.
    remedy
        What to do about it.
    form
        What it is read as, such as "an index".
    part
        What in it is read.

    Raises
    ------
    DamagedData
        It is damaged.
    MissingData
        The file system refuses to read it.
    TrajlabError
        The object store cannot be reached.
    """
    what = f"{f'{part} of ' if part else ''}{path}{f' as {form}' if form else ''}"
    try:
        with reaching(path):
            try:
                yield
            except FileNotFoundError as error:
                raise MissingData(f"cannot read {what}: {reason(error)}; {remedy}") from error
    except TrajlabError:
        raise
    except OSError as error:
        kind = MissingData if error.errno and not is_url(path) else DamagedData
        raise kind(f"cannot read {what}: {reason(error)}; {remedy}") from error
    except Exception as error:
        raise DamagedData(f"cannot read {what}: {reason(error)}; {remedy}") from error
