"""What SIGTERM and ctrl-C do to a command: half-written files are removed, and it exits with 130."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTED = 130
"""Exit code of an interrupted command."""


@contextmanager
def interruptible(program: str) -> Iterator[None]:
    """Turn SIGTERM and ctrl-C into one line on stderr, and exit at once.

    Parameters
    ----------
    program
        Name of the program, which begins the line.
    """
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
