"""How much a run takes on disk, before the first byte is written."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

UNKNOWN_STEPS = 1000
"""Steps that an estimate is about when the length of the training is unknown."""

COUNTED_STEPS = 100_000
"""Most steps at which a schedule is asked; counts beyond are proportional."""


@dataclass(frozen=True)
class Estimate:
    """Bytes that a recording will take.

    Parameters
    ----------
    snapshot_bytes
        Bytes of the weights and buffers of one step.
    row_bytes
        Bytes of the recorded gradients of one step.
    snapshots, rows
        Number of snapshots, and of rows of gradients.
    steps
        Number of steps that these are of.
    total_bytes
        Bytes of all of them.
    """

    snapshot_bytes: int
    row_bytes: int
    snapshots: int
    rows: int
    steps: int

    @property
    def total_bytes(self) -> int:
        """Bytes of all snapshots and rows."""
        return self.snapshots * self.snapshot_bytes + self.rows * self.row_bytes

    def __str__(self) -> str:
        return (
            f"about {size_of(self.total_bytes)} in {self.steps:,} steps: {self.snapshots:,} snapshots of "
            f"{size_of(self.snapshot_bytes)} and {self.rows:,} rows of gradients of {size_of(self.row_bytes)}"
        )

    def excess(self, directory: Path, limit: float | None) -> str | None:
        """Return what the run exceeds, the limit or the free space of the disk; None if neither."""
        while not directory.exists():
            directory = directory.parent
        free = shutil.disk_usage(directory).free
        if self.total_bytes > free:
            return f"the {size_of(free)} that are free on the disk"
        if limit is not None and self.total_bytes > limit:
            return f"the limit of {size_of(limit)}"
        return None


def estimate(
    snapshot_bytes: int,
    row_bytes: int,
    when: Callable[[int], bool],
    gradients_when: Callable[[int], bool] | None,
    first: int,
    stop: int | None,
) -> Estimate:
    """Estimate what the steps from `first` on will take; those before `stop`, or the next thousand if it is None."""
    steps = range(first, first + UNKNOWN_STEPS if stop is None else max(stop, first))
    snapshots = _count(when, steps) + 1
    rows = 0 if gradients_when is None else _count(gradients_when, steps)
    return Estimate(snapshot_bytes, row_bytes, snapshots, rows, len(steps))


def size_of(count: float) -> str:
    """Return a number of bytes in words.

    >>> size_of(12), size_of(3_100_000), size_of(2.06e9)
    ('12 B', '3.1 MB', '2.1 GB')
    """
    for unit, size in {"TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3}.items():
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def _count(schedule: Callable[[int], bool], steps: range) -> int:
    counted = steps[:COUNTED_STEPS]
    return round(sum(map(bool, map(schedule, counted))) * len(steps) / max(len(counted), 1))
