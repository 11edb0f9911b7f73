"""Values that a series' own past does not foretell, one step ahead."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import stats

NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""

CLIP, CLIPPED = 2.5, 0.97756
"""Deviations at which residuals are clipped, and the variance of a standard normal variable that is."""

EFFICIENCY = 0.4
"""Degrees of freedom of the robust deviation for each residual: half of its own, for tails heavier than the normal."""

LEVEL = 10
"""Values whose median is the level of a series; also the fewest residuals that a deviation is estimated from."""

SHORTEST = LEVEL + 2
"""Fewest values of a series of which one can be an outlier: the first and `LEVEL` residuals are its past."""

RECENT = 20
"""Residuals that show whether a series has begun to scatter more."""


class Surprise(NamedTuple):
    """How far each value is from its prediction, (step) each; NaN where too little of the past is known.

    Attributes
    ----------
    deviation
        Distance in units of the robust standard deviation of earlier residuals.
    limit
        Distance from which on a value is an outlier.
    level
        The prediction.
    """

    deviation: np.ndarray
    limit: np.ndarray
    level: np.ndarray


def surprise(values: np.ndarray, *, window: int, smallest: float, rate: float) -> Surprise:
    """Compare each value with two predictions from its past, and keep the one that it deviates from more.

    One is the median of the last ten values, which fits noise about a level, the other the last value, which fits a
    random walk. Both are corrected by the median of their last residuals, which fits a trend. Residuals deviate as they
    did over the last `window` or the last twenty steps, whichever is more: 1.4826 median absolute deviations, refined
    by the standard deviation of residuals clipped at 2.5 of these. The limit is a quantile of Student's t, as this
    deviation is itself estimated.

    Parameters
    ----------
    values
        The series, (step), all finite.
    window
        Number of preceding residuals that form the past.
    smallest
        Smallest standard deviation.
    rate
        Probability that a value of a series without changes exceeds the limit.
    """
    predictions = np.stack([_level(values), np.concatenate([np.full(min(1, len(values)), np.nan), values[:-1]])])
    residuals = values - predictions
    of_past = [[_of_past(row, size) for row in residuals] for size in (window, RECENT)]
    center = np.stack([row[0] for row in of_past[0]])
    spread = np.stack([np.fmax(row[1], recent[1]) for row, recent in zip(*of_past, strict=True)])
    level = predictions + center
    deviation = (values - level) / np.maximum(spread, smallest)
    further = np.argmax(np.nan_to_num(np.abs(deviation)), 0), np.arange(len(values))
    counts = np.clip(np.arange(len(values)) - LEVEL, 1, window)
    limit = _limits(rate, window)[counts]
    return Surprise(deviation[further], limit, level[further])


@cache
def _limits(rate: float, window: int) -> np.ndarray:
    """Return the limit of a deviation by the number of residuals that it is estimated from, up to `window`."""
    counts = np.arange(window + 1)
    return stats.t.isf(rate / 4.0, np.maximum(EFFICIENCY * counts - 1.0, 3.0))  # two sides of two predictions


def _before(values: np.ndarray, window: int) -> np.ndarray:
    """Return the `window` values before each, sorted, (step, value); missing ones are NaN and come last."""
    padded = np.concatenate([np.full(window, np.nan), values[:-1]])
    return np.sort(sliding_window_view(padded, window), axis=1)


def _medians(rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the medians of sorted rows, each of its first `counts` values."""
    at = np.arange(len(rows))
    middles = rows[at, np.maximum(counts - 1, 0) // 2], rows[at, np.minimum(counts // 2, rows.shape[1] - 1)]
    return (middles[0] + middles[1]) / 2.0


def _level(values: np.ndarray) -> np.ndarray:
    """Return the median of the last values before each; NaN where there are too few."""
    rows = _before(values, LEVEL)
    return np.where(np.isnan(rows[:, -1]), np.nan, rows[:, (LEVEL - 1) // 2 : LEVEL // 2 + 1].mean(1))


def _of_past(residuals: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return median and robust standard deviation of the residuals before each; NaN where there are too few."""
    rows = _before(residuals, window)
    counts = np.isfinite(rows).sum(1)
    center = _medians(rows, counts)
    apart = rows - center[:, None]
    bound = CLIP * NORMAL * _medians(np.sort(abs(apart), axis=1), counts)[:, None]
    clipped = np.nansum(np.clip(apart, -bound, bound) ** 2, axis=1)
    enough = counts >= LEVEL
    spread = np.sqrt(clipped / np.maximum(counts, 1) / CLIPPED)
    return np.where(enough, center, np.nan), np.where(enough, spread, np.nan)
