"""Which result is computed next."""

from collections.abc import Sequence

from trajlab.running.cost import LONG
from trajlab.running.help import PANELS, stages_by_panel

CHEAPEST = ("drift", "gradient_statistics", "distribution", "alerts", "change_points")
"""Stages of one pass each, which are computed first unless their estimated cost is high.

Others follow as the help lists them: replays come last.
"""

SOON = 5.0
"""Seconds of a core from which on a result waits for those that take less."""


def cheapest_first() -> list[str]:
    """Return the names of all stages, the cheapest first."""
    names = [name for name, _, _ in stages_by_panel()]
    return [name for name in CHEAPEST if name in names] + [name for name in names if name not in CHEAPEST]


def assumed_seconds() -> dict[str, float]:
    """Return the seconds of a core that a stage is taken to need until it is estimated; 0 of stages not named."""
    slow = PANELS["replay"], PANELS["other"]
    return {name: LONG for name, _, panel in stages_by_panel() if panel in slow}


class Turns:
    """Order in which results are computed, and computed anew once the runs have changed.

    Parameters
    ----------
    names
        Names of the results, the cheapest first.

    Examples
    --------
    >>> turns = Turns(["drift", "spectrum"])
    >>> turns.take("drift", "files")
    >>> turns.next("files"), turns.next("other files")
    ('spectrum', 'spectrum')
    >>> turns.take("spectrum", "files")
    >>> turns.next("files"), turns.next("other files")
    (None, 'drift')
    """

    def __init__(self, names: Sequence[str]):
        self.names = list(names)
        self._taken: dict[str, tuple[int, str]] = {}
        self._waited_for: set[str] = set()
        self._assumed = assumed_seconds()
        self._estimated: dict[str, float] = {}

    def hurry(self, name: str) -> None:
        """Have a result computed next, as a view waits for it."""
        self._waited_for.add(name)

    def take(self, name: str, fingerprint: str) -> None:
        """Mark a result as computed, whether or not it could be, from files of a fingerprint."""
        turn = 1 + max((turn for turn, _ in self._taken.values()), default=0)
        self._taken[name] = turn, fingerprint

    def was_taken(self, name: str) -> bool:
        """Return whether a result was computed, from whatever files."""
        return name in self._taken

    def gives_way(self, name: str, seconds: float, fingerprint: str) -> bool:
        """Note the estimated cost of a result that was just taken, and return whether others are cheaper.

        If so, the result is no longer taken, and is computed after them.
        """
        if name in self._estimated or name not in self._taken:
            return False
        self._estimated[name] = seconds
        taken = self._taken.pop(name)
        if self.next(fingerprint) != name:
            return True
        self._taken[name] = taken
        return False

    def next(self, fingerprint: str) -> str | None:
        """Return what to compute next: what a view waits for, the cheapest that never was, or the oldest; or None."""
        old = [name for name in self.names if self._taken.get(name, (0, ""))[1] != fingerprint]
        waited = self._waited_for - set(self._taken)
        return min(
            old,
            key=lambda name: (name not in waited, self._taken.get(name, (-1, ""))[0], self._seconds(name)),
            default=None,
        )

    def _seconds(self, name: str) -> float:
        """Return the estimated cost of a result, 0 if it is low: then the order of the names decides."""
        seconds = self._estimated.get(name, 0.0) or self._assumed.get(name, 0.0)
        return seconds if seconds >= SOON else 0.0
