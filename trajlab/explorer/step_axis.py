"""The axis of steps, which all views share: of steps, or of snapshots where steps lie ever further apart."""

import numpy as np

WIDEST = 20
"""Ratio of the largest to the smallest gap beyond which snapshots are spaced evenly, as in figures."""


class StepAxis:
    """Positions of steps on a screen.

    Parameters
    ----------
    steps
        Recorded steps, rising, (step).

    Attributes
    ----------
    steps
        The same.
    even
        Whether snapshots are spaced evenly, whatever their steps.
    """

    def __init__(self, steps: np.ndarray):
        self.steps = np.asarray(steps, np.float64) if len(steps) else np.zeros(1)
        gaps = np.diff(self.steps)
        self.even = bool(len(gaps) > 3 and gaps.max() > WIDEST * gaps.min())

    def x(self, steps: np.ndarray | float) -> np.ndarray:
        """Return the positions of steps."""
        values = np.asarray(steps, np.float64)
        return np.interp(values, self.steps, np.arange(len(self.steps))) if self.even else values

    def step(self, x: float) -> int:
        """Return the recorded step that is nearest to a position."""
        return int(self.steps[int(np.argmin(np.abs(self.x(self.steps) - x)))])

    def limits(self, window: tuple[int, int] | None) -> tuple[float, float]:
        """Return the positions at which a window begins and ends, half a gap beyond its steps."""
        inside = self.steps if window is None else self.steps[(self.steps >= window[0]) & (self.steps <= window[1])]
        if not len(inside):
            inside = np.asarray(window, np.float64)
        low, high = self.x(inside[0]), self.x(inside[-1])
        positions = self.x(self.steps)
        half = float(np.median(np.diff(positions))) / 2 if len(positions) > 1 else 0.5
        return float(low) - half, float(high) + half

    def window(self, low: float, high: float) -> tuple[int, int]:
        """Return the first and the last recorded step between two positions; the nearest one if there is none."""
        positions = self.x(self.steps)
        inside = self.steps[(positions >= min(low, high)) & (positions <= max(low, high))]
        if not len(inside):
            return (self.step((low + high) / 2),) * 2
        return int(inside[0]), int(inside[-1])
