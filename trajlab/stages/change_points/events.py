"""Changes of one series: where each begins, its kind, and its size."""

from typing import NamedTuple

import numpy as np

from trajlab.stages.change_points.one_step import surprise
from trajlab.stages.change_points.two_windows import shifts
from trajlab.statistics.unusual import KINDS

SPIKE, JUMP, SLOPE, SPREAD, NONFINITE = range(1, len(KINDS))

AFTER = 10
"""Values after an outlier by which a spike that comes back is told from a jump that stays; a smaller outlier among them
is no change of its own."""

NOTICED = 3.0
"""Deviation from which on values right before an outlier, on the same side, are taken for the beginning of it."""

STRAIGHT = 1e-6
"""How far a value may lie off the line through the two before it and still be on it, as a share of the larger one."""

TINY = 1e-6
"""What is added to a positive series before its logarithm is taken, as a share of its median: zeros stay finite."""


class Change(NamedTuple):
    """A change of a series.

    Attributes
    ----------
    position
        Position of its first value.
    kind
        Its code.
    score
        How far it deviates from the series' own past, in standard deviations, or standard errors of a difference.
    before, after
        The value that the past foretold, and that at the change: its peak for a spike, the typical one after it for a
        jump. For other kinds the typical values of the windows on both sides.
    """

    position: int
    kind: int
    score: float
    before: float
    after: float


class Watch(NamedTuple):
    """How series are watched.

    Attributes
    ----------
    window
        Number of preceding values that form the past.
    smallest
        Smallest standard deviation, as a share of the value.
    rate
        Probability that a series without changes has one or more, over all its steps.
    """

    window: int
    smallest: float
    rate: float


def changes(values: np.ndarray, watch: Watch) -> list[Change]:
    """Return the changes of a series, by their position.

    A series without negative values is compared by its logarithm. Outliers one step ahead are spikes if the values
    after them are back, else jumps. What lasts for a window is compared with the window before it.

    Parameters
    ----------
    values
        The series, (step).
    watch
        How it is watched.
    """
    finite = np.flatnonzero(np.isfinite(values))
    broken = _nonfinite(values)
    series = values[finite]
    if len(series) < 3 or series.min() == series.max() or _counts(series):
        return broken
    scaled, smallest = _scaled(series, watch.smallest)
    rate = watch.rate / (2.0 * len(series))
    jumps, calm = _outliers(series, scaled, watch.window, smallest, rate)
    slow = _shifts(series, calm, watch.window // 2, smallest, rate, [change.position for change in jumps])
    events = [change._replace(position=int(finite[change.position])) for change in [*jumps, *slow]]
    return sorted([*events, *broken])


def _scaled(series: np.ndarray, smallest: float) -> tuple[np.ndarray, float]:
    """Return a series on the scale on which it is compared, and its smallest standard deviation there."""
    if series.min() >= 0:
        return np.log(series + TINY * np.median(series[series > 0])), smallest
    return series, smallest * float(np.median(abs(series)))


def _counts(series: np.ndarray) -> bool:
    """Return whether a series counts something, such as epochs: integers that never fall."""
    return bool((series == np.round(series)).all() and (np.diff(series) >= 0).all())


def _nonfinite(values: np.ndarray) -> list[Change]:
    """Return where a series that was finite begins to be Inf; NaN is a step without a value."""
    is_bad = np.isinf(values)
    starts = np.flatnonzero(is_bad & ~np.concatenate([[False], is_bad[:-1]]))
    return [Change(int(i), NONFINITE, np.inf, float("nan"), float(values[i])) for i in starts]


def _outliers(
    series: np.ndarray, scaled: np.ndarray, window: int, smallest: float, rate: float
) -> tuple[list[Change], np.ndarray]:
    """Return spikes and jumps, and the series with what is beyond its limit moved to it."""
    calm = scaled.copy()
    deviation, limit, level = surprise(scaled, window=window, smallest=smallest, rate=rate)
    deviation = np.where(_on_a_line(series), 0.0, deviation)
    is_beyond = abs(deviation) > limit
    side = np.where(is_beyond, np.sign(deviation), 0.0)
    positions = np.flatnonzero(is_beyond)
    calm[positions] = level[positions]
    starts = [int(i) for i in positions if not (side[max(0, i - 2) : i] == side[i]).any()]
    outliers: list[Change] = []
    base = top = np.nan  # the prediction and the peak of the last one
    for start, end in zip(starts, [*starts, len(series)][1:], strict=True):
        beyond = positions[(positions >= start) & (positions < end)]
        peak = int(beyond[np.argmax(abs(deviation[beyond]))])
        onset = start
        while onset > 0 and deviation[onset - 1] * side[start] > NOTICED:
            onset -= 1
        if outliers and onset - outliers[-1].position <= AFTER:
            is_smaller = abs(deviation[peak]) < abs(outliers[-1].score)
            is_back = outliers[-1].kind == SPIKE and abs(scaled[peak] - base) < 0.5 * abs(top - base)
            if is_smaller or is_back:
                continue  # the return of a spike, or the aftermath of a jump
        base, top = float(level[onset]), float(scaled[peak])
        outliers.append(_outlier(series, scaled, onset, peak, float(deviation[peak]), base))
    return outliers, calm


def _on_a_line(series: np.ndarray) -> np.ndarray:
    """Return which values the line through the two before foretells: a schedule that ends at zero is no jump there."""
    foretold = np.zeros(len(series), bool)
    bend = abs(series[2:] - 2.0 * series[1:-1] + series[:-2])
    foretold[2:] = bend <= STRAIGHT * np.maximum(abs(series[1:-1]), abs(series[:-2]))
    return foretold


def _outlier(series: np.ndarray, scaled: np.ndarray, start: int, peak: int, deviation: float, level: float) -> Change:
    """Return a spike if the values after its peak are typically back half of the way, else a jump."""
    later = scaled[peak + 1 : peak + 1 + AFTER]
    is_back = len(later) > 2 and abs(np.median(later) - level) < 0.5 * abs(scaled[peak] - level)
    before = float(np.median(series[max(0, start - AFTER) : start]))
    after = float(series[peak] if is_back else np.median(series[peak : peak + 1 + AFTER]))
    return Change(start, SPIKE if is_back else JUMP, deviation, before, after)


def _shifts(
    series: np.ndarray, calm: np.ndarray, width: int, smallest: float, rate: float, taken: list[int]
) -> list[Change]:
    """Return slow changes: the largest difference within each window, away from outliers."""
    level, slope, spread, limit = shifts(calm, width=width, smallest=smallest, rate=rate)
    table = np.abs(np.nan_to_num(np.stack([level, slope, spread])))
    table[:, [i for at in taken for i in range(max(0, at - width), min(len(series), at + width + 1))]] = 0.0
    slow = []
    while table.size and table.max() > limit:
        kind, at = np.unravel_index(np.argmax(table), table.shape)
        signed = (level, slope, spread)[kind][at]
        sides = series[max(0, at - width) : at], series[at : at + width]
        code = (JUMP, SLOPE, SPREAD)[kind]
        slow.append(Change(int(at), code, float(signed), *(float(np.median(side)) for side in sides)))
        table[:, max(0, at - width) : at + width + 1] = 0.0
    return slow
