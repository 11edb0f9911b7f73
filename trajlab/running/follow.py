"""Look again at runs that are still being written, whenever their files change."""

import time
from collections.abc import Callable
from pathlib import Path

from trajlab.errors import DamagedData, MissingData
from trajlab.runs.disk.fingerprint import fingerprint
from trajlab.runs.open import runs_in
from trajlab.runs.readers.folder import read_facts
from trajlab.terminal import say

POLL = 2.0
"""Seconds between two looks at the files, at least: looking takes no more than half of the time."""


def follow(path: Path, act: Callable[[], bool], *, sleep: Callable[[float], object] = time.sleep) -> None:
    """Call a function now, and again whenever a file below a path has changed.

    It ends once the function returns True, or a Recorder has closed the runs.

    A file that is being written may be cut short, and a run that has just begun may hold no snapshot: such errors are
    said once on stderr, and the function is called again once the files have changed.

    Parameters
    ----------
    path
        Run, or folder of runs.
    act
        Reads the path, and returns whether to end.
    sleep
        Waits for a number of seconds.

    Raises
    ------
    MissingData
        The path does not exist.
    TrajlabError
        The function raises another error than DamagedData or MissingData.
    """
    before, said = "", ""
    while True:
        start = time.monotonic()
        files = fingerprint(path)
        if files != before:
            before = files
            try:
                is_last = is_closed(path)
                if act() or is_last:
                    return
            except (DamagedData, MissingData) as error:
                if not path.exists():
                    raise
                if str(error) != said:
                    said = str(error)
                    say(f"waiting for more: {error}")
        sleep(max(POLL, time.monotonic() - start))


def is_closed(path: Path) -> bool:
    """Return whether a Recorder wrote the run, or all runs in the folder, and has closed it."""
    return all(read_facts(run).get("closed") is not None for run in runs_in(path).values() or [path])
