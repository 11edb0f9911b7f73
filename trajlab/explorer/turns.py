"""Which result is computed next."""

from collections.abc import Sequence

from trajlab.running.help import stages_by_panel

CHEAPEST = ("drift", "gradient_statistics", "distribution", "alerts", "change_points")
"""Stages of one pass each, which are computed first. Others follow as the help lists them: replays come last."""


def cheapest_first() -> list[str]:
    """Return the names of all stages, the cheapest first."""
    names = [name for name, _, _ in stages_by_panel()]
    return [name for name in CHEAPEST if name in names] + [name for name in names if name not in CHEAPEST]


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

    def next(self, fingerprint: str) -> str | None:
        """Return what to compute next: what a view waits for, the cheapest that never was, or the oldest; or None."""
        old = [name for name in self.names if self._taken.get(name, (0, ""))[1] != fingerprint]
        waited = self._waited_for - set(self._taken)
        return min(old, key=lambda name: (name not in waited, self._taken.get(name, (-1, ""))[0]), default=None)
