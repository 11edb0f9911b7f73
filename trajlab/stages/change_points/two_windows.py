"""Changes that one value does not show: the window before a step compared with the window after it."""

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import stats

WALK = 0.4
"""Correlation of successive residuals from which on a series counts as a random walk, and its increments are tested."""

CURVE = 3
"""Degree of the polynomial that a trend may follow across both windows without a change."""


class Shift(NamedTuple):
    """Difference between the windows after and before each step, in standard errors, (step) each; NaN near the ends.

    Attributes
    ----------
    level, slope, spread
        A step in the level, a kink, and a step in the logarithm of the size of residuals.
    limit
        Size from which on a difference is a change.
    """

    level: np.ndarray
    slope: np.ndarray
    spread: np.ndarray
    limit: float


def shifts(values: np.ndarray, *, width: int, smallest: float, rate: float) -> Shift:
    """Fit a cubic to the `width` values before and after each step, and test for a step, a kink and another spread.

    A trend that bends smoothly, as that of a loss does, is no change: a step or a kink must explain what a cubic across
    both windows does not. Of a random walk, whose level changes at every step, the increments are tested: a step in
    their level is a change of its slope.

    Parameters
    ----------
    values
        The series, (step), all finite.
    width
        Number of values on each side.
    smallest
        Smallest standard deviation of residuals.
    rate
        Probability that a step of a series without changes exceeds the limit.

    References
    ----------
    Moving sums: Eichinger and Kirch 2018, A MOSUM procedure for the estimation of multiple random change points.
    """
    level, slope, spread = np.full((3, len(values)), np.nan)
    limit = float(stats.t.isf(rate / 6.0, (2.0 * width - CURVE - 3) / 2.0))  # two sides of three tests, heavy tails
    if len(values) < 2 * width + 1:
        return Shift(level, slope, spread, limit)
    side = np.where(np.arange(2 * width) < width, -0.5, 0.5)
    kink = np.maximum(0.0, np.arange(2 * width) - width + 0.5)
    residuals = _residuals(sliding_window_view(values, 2 * width), _curve(width, CURVE))
    correlation = _correlation(residuals)
    if correlation > WALK:
        increments = np.diff(values)
        slope[width:-width] = _tested(increments, _curve(width, CURVE), side, smallest)
        return Shift(level, slope, spread, limit)
    inside = slice(width, len(values) - width + 1)
    together = np.sqrt((1.0 + max(0.0, correlation)) / (1.0 - max(0.0, correlation)))
    level[inside] = _tested(values, _curve(width, CURVE), side, smallest) / together
    slope[inside] = _tested(values, np.column_stack([_curve(width, CURVE), side]), kink, smallest) / together
    sizes = np.log(np.hypot(residuals[:, width], smallest))
    tested = _tested(sizes, _curve(width, 1), side, 1e-9)
    spread[2 * width : 2 * width + len(tested)] = tested
    return Shift(level, slope, spread, limit)


def _curve(width: int, degree: int) -> np.ndarray:
    """Return the powers of the position in both windows, (position, power)."""
    return np.polynomial.legendre.legvander(np.linspace(-1.0, 1.0, 2 * width), degree)


def _residuals(windows: np.ndarray, design: np.ndarray) -> np.ndarray:
    basis, _ = np.linalg.qr(design)
    return windows - (windows @ basis) @ basis.T


def _tested(values: np.ndarray, design: np.ndarray, change: np.ndarray, smallest: float) -> np.ndarray:
    """Return the t statistic of a change beside a design, for each window of both sides."""
    if len(values) < len(change):
        return np.empty(0)
    residuals = _residuals(sliding_window_view(values, len(change)), design)
    direction = _residuals(change[None], design)[0]
    direction = direction / np.linalg.norm(direction)
    size = residuals @ direction
    left = np.maximum((residuals**2).sum(1) - size**2, 0.0) / (len(change) - design.shape[1] - 1)
    return size / np.maximum(np.sqrt(left), smallest)


def _correlation(residuals: np.ndarray) -> float:
    """Return the typical correlation of successive residuals, corrected for the bias of short windows.

    Residuals of a fit of k parameters to m values of white noise correlate by about −k / m.
    """
    squares, products = (residuals**2).sum(1), (residuals[:, 1:] * residuals[:, :-1]).sum(1)
    is_varied = squares > 0
    if not is_varied.any():
        return 0.0
    return float(np.median(products[is_varied] / squares[is_varied])) + (CURVE + 1) / residuals.shape[1]
