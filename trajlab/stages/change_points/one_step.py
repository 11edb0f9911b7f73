"""Values that a series' own past does not foretell, one step ahead."""

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
    """Compare each value with two predictions from its past, and keep the one that has been better so far.

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
    better = np.argmin(np.nan_to_num(spread, nan=np.inf), 0), np.arange(len(values))
    level = (predictions + center)[better]
    counts = np.clip(np.arange(len(values)) - LEVEL, 1, window)
    limit = stats.t.isf(rate / 4.0, np.maximum(EFFICIENCY * counts - 1.0, 3.0))  # two sides of two predictions
    return Surprise((values - level) / np.maximum(spread[better], smallest), limit, level)


def _level(values: np.ndarray) -> np.ndarray:
    """Return the median of the last values before each."""
    out = np.full(len(values), np.nan)
    if len(values) > LEVEL:
        out[LEVEL:] = np.median(sliding_window_view(values, LEVEL)[:-1], axis=1)
    return out


def _of_past(residuals: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return median and robust standard deviation of the `window` residuals before each."""
    center, spread = np.full((2, len(residuals)), np.nan)
    first = int(np.isnan(residuals).sum())
    for i in range(first + LEVEL, min(first + window, len(residuals))):
        center[i], spread[i] = (part[0] for part in _robust(residuals[None, first:i]))
    if len(residuals) > first + window:
        windows = sliding_window_view(residuals[first:], window)[:-1]
        center[first + window :], spread[first + window :] = _robust(windows)
    return center, spread


def _robust(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    center = np.median(rows, axis=1)
    apart = rows - center[:, None]
    bound = CLIP * NORMAL * np.median(abs(apart), axis=1)[:, None]
    return center, np.sqrt((np.clip(apart, -bound, bound) ** 2).mean(1) / CLIPPED)
