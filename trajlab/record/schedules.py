"""Schedules of recording: functions from a step to a bool, which combine with ``|`` and ``&``."""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from itertools import groupby

from trajlab.errors import BadSetting

SHOWN = 1000
"""Number of first steps that the repr of a schedule is about."""

MOST = 6
"""Most steps, or ranges of steps, that it lists."""


@dataclass(frozen=True)
class Schedule:
    """A function that returns for each step whether to record it.

    Any function from a step to a bool is accepted as a schedule; this one can be combined, and shows its first steps.

    Parameters
    ----------
    rule
        The function.

    Examples
    --------
    Dense early, sparse late:

    >>> when = every(1).until(4) | every(10)
    >>> [step for step in range(25) if when(step)]
    [0, 1, 2, 3, 10, 20]
    >>> when
    <Schedule: steps 0 to 3, 10, 20, 30, 40, 50, …; 103 of the first 1,000>
    """

    rule: Callable[[int], bool]

    def __call__(self, step: int) -> bool:
        """Return whether to record this step."""
        return self.rule(step)

    def __or__(self, other: Callable[[int], bool]) -> "Schedule":
        return Schedule(lambda step: self(step) or other(step))

    def __and__(self, other: Callable[[int], bool]) -> "Schedule":
        return Schedule(lambda step: self(step) and other(step))

    def __repr__(self) -> str:
        steps = [step for step in range(SHOWN) if self(step)]
        groups = groupby(enumerate(steps), key=lambda numbered: numbered[1] - numbered[0])
        ranges = [[step for _, step in numbered] for _, numbered in groups]
        words = [f"{span[0]}" if len(span) == 1 else f"{span[0]} to {span[-1]}" for span in ranges]
        listed = ", ".join(words[:MOST] + ["…"] * (len(words) > MOST))
        return f"<Schedule: steps {listed or 'none'}; {len(steps):,} of the first {SHOWN:,}>"

    def _repr_html_(self) -> str:
        """Draw the steps it selects on a line."""
        ticks = "".join(f'<path d="M{step + 0.5} 0v16"/>' for step in range(SHOWN) if self(step))
        return (
            f"<div>{escape(repr(self))}</div>"
            f'<svg viewBox="0 0 {SHOWN} 16" preserveAspectRatio="none" style="width:100%;height:16px;'
            f'background:rgba(128,128,128,.2);stroke:currentColor" role="img">{ticks}</svg>'
        )

    def until(self, stop: int) -> "Schedule":
        """Keep the steps before `stop`."""
        return Schedule(lambda step: step < stop and self(step))

    def since(self, start: int) -> "Schedule":
        """Keep the steps from `start` on."""
        return Schedule(lambda step: step >= start and self(step))


def every(n: int) -> Schedule:
    """Record every n-th step, the first one included.

    >>> [step for step in range(10) if every(3)(step)]
    [0, 3, 6, 9]
    """
    n = _step_number("every(n)", n, smallest=1)
    return Schedule(lambda step: step % n == 0)


def at(steps: Iterable[int]) -> Schedule:
    """Record exactly these steps.

    >>> [step for step in range(10) if at([0, 5])(step)]
    [0, 5]
    """
    chosen = frozenset(_step_number("at(steps)", step, smallest=0) for step in steps)
    return Schedule(lambda step: step in chosen)


def doubling() -> Schedule:
    """Record step 0 and the powers of two.

    >>> [step for step in range(20) if doubling()(step)]
    [0, 1, 2, 4, 8, 16]
    """
    return Schedule(lambda step: step & (step - 1) == 0)


def bursts(schedule: Callable[[int], bool], *, length: int = 2) -> Schedule:
    """Record `length` consecutive steps, starting at each step of a schedule.

    Two consecutive steps show the update that one step made.

    >>> [step for step in range(25) if bursts(every(10), length=2)(step)]
    [0, 1, 10, 11, 20, 21]
    """
    length = _step_number("bursts(length)", length, smallest=1)
    return Schedule(lambda step: any(schedule(step - back) for back in range(min(length, step + 1))))


def _step_number(argument: str, value: int, *, smallest: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = smallest - 1
    if number < smallest:
        raise BadSetting(f"cannot use {value!r} in {argument}: pass an integer from {smallest} on")
    return number
