"""What `trajlab check` prints: a line for each store, result or run, and an error that names what is damaged."""

from collections.abc import Sequence
from pathlib import Path

import typer

from trajlab.errors import DamagedData, MissingData, first_of
from trajlab.runs.check import check
from trajlab.runs.readers.store import is_store
from trajlab.schema import MANIFEST_FILE
from trajlab.statistics.wording import count
from trajlab.terminal import printable, say

SHOWN = 6
"""Most pieces that the error names."""


def check_all(paths: Sequence[Path]) -> None:
    """Check stores, results and runs, and those in folders.

    Raises
    ------
    DamagedData
        One of them is damaged; all are checked before.
    MissingData
        One of them has no checksums.
    """
    damaged: list[str] = []
    for path in [inside for named in paths for inside in _inside(named)]:
        try:
            checked = check(path)
        except DamagedData as error:
            damaged.append(str(error))
            continue
        damaged += [f"{path}: {piece}" for piece in checked.damaged]
        if checked.unchecked:
            say(f"{path}: {count(checked.unchecked, 'array')} of an earlier version without checksums; pack it again")
        if not checked.damaged:
            what = "array" if is_store(path) else "file"
            typer.echo(printable(f"{path}: {count(checked.read, what)} as written"))
    if damaged:
        raise DamagedData(
            f"cannot trust {count(len(damaged), 'piece')} of what was read: {first_of(damaged, SHOWN, '; ')}; "
            "restore them from a copy, pack the snapshots or compute the results again"
        )


def _inside(path: Path) -> list[Path]:
    """Return the stores, results and runs in a folder, or the path itself if it is one."""
    if not path.is_dir() or is_store(path) or (path / MANIFEST_FILE).is_file():
        return [path]
    inside = [entry for pattern in ("*", "*/*") for entry in sorted(path.glob(pattern)) if entry.is_dir()]
    checkable = [entry for entry in inside if is_store(entry) or (entry / MANIFEST_FILE).is_file()]
    if not checkable:
        raise MissingData(f"cannot check {path}: it holds no packed store, no result and no recorded run; name one")
    return [entry for entry in checkable if entry.parent not in checkable]
