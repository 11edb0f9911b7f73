"""Changes of level found while values come in one at a time: a cumulative sum for each of many series.

Libraries that detect drift in streams, such as river's PageHinkley and ADWIN, take independent values of a known scale
and state no false-alarm rate for a trend, for autocorrelated noise or for a random walk; ruptures needs the whole
series.
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtr

WINDOW, FEWEST = 100, 20
"""Values that form the past of a series at most, and prediction errors of which its deviation is first estimated."""

ALLOWANCE, ESTIMATED = 0.5, 0.1
"""What a deviation must exceed to add to a sum: half of the smallest shift of interest, in standard deviations. The
second is the part of it that the error of the estimated trend takes up."""

LARGEST = 3.0
"""Deviation that a value counts at most: a single outlier is no change of level."""

CLIPPED, CLIPPED_VARIANCE = 2.5, 0.97756
"""Deviations at which errors are clipped, and the variance of a standard normal variable that is."""

WALK = 0.7
"""Autocorrelation from which on a series counts as a random walk."""

CONFIRMED, AFTER = 3, 4
"""An outlier is a jump, not a spike, if `CONFIRMED` of the `AFTER` values after it stay beyond half its height."""

TINY = 1e-6
"""What is added to a positive series before its logarithm is taken, as a share of its median."""

CLOSED = (np.nan, np.nan, 0.0, 0.0)
"""State of a series without an open jump; see `_watch_jumps`."""


class Cusum:
    """Two-sided CUSUM of one-step prediction errors, for many series at once.

    A series without negative values is taken by its logarithm. A straight line is fitted to the last values, and the
    first-order autocorrelation of the residuals, corrected for its bias, predicts the next value; a strongly
    autocorrelated series is predicted as a random walk with drift. Errors are divided by the robust standard deviation
    of earlier errors, brought from Student's t to normal scores, and summed beyond an allowance. The past keeps no
    value further from its prediction than 2.5 standard deviations. After an alarm the past is forgotten and learned
    anew. Counters, such as epochs, never raise an alarm.

    A strongly correlated series stays at its new level after a jump, so that only one prediction error is large. An
    error beyond the limit of a Shewhart chart therefore raises an alarm, too, if the values after it stay there. Each
    of the two charts has half of the rate of false alarms.

    Parameters
    ----------
    run_length
        Average number of values between two false alarms of a series without changes: of white noise, autoregressive
        noise or a random walk of normal increments, about a slow trend.
    smallest
        Smallest standard deviation of a series without negative values, as a share; of others, of their mean size.

    Attributes
    ----------
    side
        Side of the last alarm of each series, 1 where it rose and −1 where it fell, (series).
    length
        Number of values since the sum that raised it began to grow, (series).

    References
    ----------
    Page 1954, Continuous inspection schemes, Biometrika 41. Hawkins 1987, Self-starting CUSUM charts for location and
    scale, The Statistician 36. Lucas 1982, Combined Shewhart-CUSUM quality control schemes, Journal of Quality
    Technology 14. Bias of autocorrelations about a trend: Marriott and Pope 1954, Biometrika 41.
    """

    def __init__(self, *, run_length: float, smallest: float = 0.01):
        self.limit = limit_of(2.0 * run_length)
        self.outlier = 0.5 / (2.0 * run_length)
        self.smallest = smallest
        self.past = np.empty((0, WINDOW))
        self._errors = np.empty((0, WINDOW))
        self._sums = np.empty((0, 2))
        self._lengths = np.empty((0, 2), np.int64)
        self._is_log = np.empty(0, bool)
        self._jumps = np.empty((0, 4))

    @property
    def side(self) -> np.ndarray:
        """Side of the larger sum."""
        return np.where(self._sums[:, 0] >= self._sums[:, 1], 1, -1)

    @property
    def length(self) -> np.ndarray:
        """Length of the larger sum."""
        return np.where(self.side > 0, self._lengths[:, 0], self._lengths[:, 1])

    def update(self, values: np.ndarray) -> np.ndarray:
        """Take the next value of each series, and return which of them raise an alarm, (series) bool.

        Parameters
        ----------
        values
            The values, (series); NaN and Inf where there is none. More values than before begin new series.
        """
        self._grow(len(values))
        rows = np.flatnonzero(np.isfinite(values))
        alarms = np.zeros(len(values), bool)
        if not len(rows):
            return alarms
        self._forget(rows[self._sums[rows].max(1) > self.limit])
        x = values[rows]
        is_log = (x >= 0) & ~(self.past[rows] < 0).any(1) & (self.past[rows] > 0).any(1)
        self._forget(rows[is_log != self._is_log[rows]], errors_alone=True)
        self._is_log[rows] = is_log
        past, is_there = self.past[rows], np.isfinite(self.past[rows])
        size = np.where(is_there, abs(past), 0.0).sum(1) / np.maximum(is_there.sum(1), 1)
        error = _scaled(x, is_log, size) - _predicted(_scaled(past, is_log[:, None], size[:, None]), is_there)
        spread, count = _spread(self._errors[rows])
        spread = np.maximum(spread, np.maximum(self.smallest * np.where(is_log, 1.0, size), np.finfo(float).tiny))
        is_watched = (count >= FEWEST) & ~_counts(np.concatenate([past, x[:, None]], axis=1))
        scores = _normal_scores(error / spread, count)
        sides = np.where(is_watched[:, None], np.stack([scores, -scores], axis=1), -np.inf)
        sums = np.maximum(0.0, self._sums[rows] + sides - ALLOWANCE)
        self._lengths[rows] = np.where(sums > 0, self._lengths[rows] + 1, 0)
        self._sums[rows] = sums
        outliers = is_watched & (_tails(error / spread, count) < self.outlier)
        self._watch_jumps(rows, _scaled(x, is_log, size), np.where(outliers, error, np.nan))
        alarms[rows] = self._sums[rows].max(1) > self.limit
        bound = np.where(count >= FEWEST, CLIPPED * spread, np.inf)
        calm = np.clip(error, -bound, bound)
        beyond = np.where(np.isnan(error), 0.0, error - calm)
        self._errors[rows] = _appended(self._errors[rows], calm)
        self.past[rows] = _appended(past, np.where(is_log, x * np.exp(-beyond), x - beyond))
        return alarms

    def _watch_jumps(self, rows: np.ndarray, values: np.ndarray, outliers: np.ndarray) -> None:
        """Update open jumps; a jump that stayed raises the CUSUM of its side above the limit.

        The state of a jump: the level before it, its height, the number of values since, and how many of these stayed.

        Parameters
        ----------
        rows
            Positions of the series.
        values
            Their new values, (series).
        outliers
            Prediction errors of outliers, (series); NaN for all other values.
        """
        jumps = self._jumps[rows]
        level, height, age, stayed = jumps.T
        is_open = np.isfinite(height)
        age = age + is_open
        stayed = stayed + (is_open & ((values - level) / np.where(is_open, height, 1.0) > 0.5))
        is_over = age >= AFTER
        is_jump = is_over & (stayed >= CONFIRMED)
        side = np.where(height > 0, 0, 1)[is_jump]
        self._sums[rows[is_jump]], self._lengths[rows[is_jump]] = 0.0, 0
        self._sums[rows[is_jump], side] = np.nextafter(self.limit, np.inf)
        self._lengths[rows[is_jump], side] = AFTER + 1
        begins = np.isfinite(outliers) & ~is_open
        fresh = np.stack([values - outliers, outliers, np.zeros(len(rows)), np.zeros(len(rows))], axis=1)
        kept = np.where(is_over[:, None], CLOSED, np.stack([level, height, age, stayed], axis=1))
        self._jumps[rows] = np.where(begins[:, None], fresh, kept)

    def _grow(self, count: int) -> None:
        new = count - len(self.past)
        if new > 0:
            self.past, self._errors = (
                np.concatenate([table, np.full((new, WINDOW), np.nan)]) for table in (self.past, self._errors)
            )
            self._sums = np.concatenate([self._sums, np.zeros((new, 2))])
            self._lengths = np.concatenate([self._lengths, np.zeros((new, 2), np.int64)])
            self._is_log = np.concatenate([self._is_log, np.zeros(new, bool)])
            self._jumps = np.concatenate([self._jumps, np.tile(CLOSED, (new, 1))])

    def _forget(self, rows: np.ndarray, *, errors_alone: bool = False) -> None:
        """Begin anew: after an alarm, and where the scale changes, on which errors are measured."""
        self._errors[rows], self._sums[rows], self._lengths[rows] = np.nan, 0.0, 0
        self._jumps[rows] = CLOSED
        if not errors_alone:
            self.past[rows] = np.nan


def limit_of(run_length: float) -> float:
    """Return the sum that raises an alarm: Siegmund's approximation of the average run length, of both sides.

    References
    ----------
    Siegmund 1985, Sequential Analysis, section II.6.

    Examples
    --------
    >>> round(limit_of(10_000), 1)
    9.8
    """
    allowance = ALLOWANCE - ESTIMATED

    def excess(limit: float) -> float:
        reach = 2.0 * allowance * (limit + 1.166)
        return (np.expm1(reach) - reach) / (2.0 * allowance**2) / 2.0 - run_length

    return float(brentq(excess, 0.0, 400.0))


def _scaled(values: np.ndarray, is_log: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return values on the scale on which they are compared."""
    return np.where(is_log, np.log(np.where(is_log, values + TINY * size, 1.0)), values)


def _predicted(past: np.ndarray, is_there: np.ndarray) -> np.ndarray:
    """Predict the next value of each row of (series, value), whose NaN come first; NaN where there are too few."""
    at, count = np.arange(-past.shape[1], 0.0), is_there.sum(1)
    enough = count >= FEWEST
    past, count = np.where(is_there, past, 0.0), np.maximum(count, FEWEST)
    middle, mean = (is_there * at).sum(1) / count, past.sum(1) / count
    apart = np.where(is_there, at - middle[:, None], 0.0)
    slope = (apart * past).sum(1) / np.maximum((apart**2).sum(1), 1.0)
    residuals = np.where(is_there, past - mean[:, None] - slope[:, None] * apart, 0.0)
    power, products = (residuals**2).sum(1), (residuals[:, 1:] * residuals[:, :-1]).sum(1)
    correlation = np.divide(products, power, out=np.zeros_like(power), where=power > 0)
    correlation = np.clip(correlation + (2.0 + 4.0 * correlation) / count, 0.0, 1.0)
    drift = (past[:, -1] - past[np.arange(len(past)), past.shape[1] - count]) / (count - 1)
    of_line = mean - slope * middle + correlation * residuals[:, -1]
    return np.where(enough, np.where(correlation > WALK, past[:, -1] + drift, of_line), np.nan)


def _normal_scores(deviations: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Bring deviations in units of an estimated standard deviation to normal scores; 0 where they are unknown."""
    chance = stdtr(np.maximum(0.6 * count, 2.0), np.nan_to_num(deviations))
    return ndtri(np.clip(chance, ndtr(-LARGEST), ndtr(LARGEST)))


def _tails(deviations: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return one-sided tail probabilities of deviations in units of an estimated standard deviation; 1 for NaN.

    Student's t with 0.6 `count` degrees of freedom, at least 2.
    """
    return np.where(np.isnan(deviations), 1.0, stdtr(np.maximum(0.6 * count, 2.0), -abs(deviations)))


def _counts(values: np.ndarray) -> np.ndarray:
    """Return which rows of (series, value) count something, such as epochs: integers that never fall."""
    rises = np.diff(values, axis=1)
    return ((values == np.round(values)) | np.isnan(values)).all(1) & ((rises >= 0) | np.isnan(rises)).all(1)


def _spread(errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard deviation of clipped errors about 0, and their number."""
    count = np.isfinite(errors).sum(1)
    return np.sqrt(np.nansum(errors**2, axis=1) / np.maximum(count, 1) / CLIPPED_VARIANCE), count


def _appended(table: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Append a value to each row, and drop the oldest; NaN leaves a row as it is."""
    return np.where(np.isnan(values)[:, None], table, np.concatenate([table[:, 1:], values[:, None]], axis=1))
