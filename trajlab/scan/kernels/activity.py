"""Activity of each unit of a layer over the positions of a probe."""

import numpy as np

from trajlab.scan.jit import inner
from trajlab.scan.track import computable

ACTIVITY = ("active", "valid", "nonfinite", "positive", "size", "sum", "squares")
"""For each unit the positions at which it is within bounds, finite, and NaN or Inf; and over the finite ones
Σ max(h, 0), Σ|h|, Σh and Σh²."""


@inner
def _activity(h, low, high, out):
    outer, units, inner = h.shape
    for o in range(outer):
        for u in range(units):
            row = h[o, u]
            active = 0
            valid = 0
            positive = 0.0
            size = 0.0
            total = 0.0
            squares = 0.0
            for i in range(inner):
                finite = np.isfinite(row[i])
                value = np.float64(row[i]) if finite else 0.0
                active += finite & (value > low) & (value < high)
                valid += finite
                positive += value if value > 0 else 0.0
                size += abs(value)
                total += value
                squares += value * value
            out[u, 0] += active
            out[u, 1] += valid
            out[u, 2] += inner - valid
            out[u, 3] += positive
            out[u, 4] += size
            out[u, 5] += total
            out[u, 6] += squares


def activity(values: np.ndarray, axis: int, low: float = 0.0, high: float = np.inf) -> np.ndarray:
    """Compute `ACTIVITY` of each unit, (unit, column) float64.

    Parameters
    ----------
    values
        Activations of one layer at one step.
    axis
        Their axis over the units.
    low, high
        A unit is active above the one and below the other.

    Examples
    --------
    >>> activity(np.array([[1.0, -2.0], [3.0, np.nan]]), axis=1)
    array([[ 2.,  2.,  0.,  4.,  4.,  4., 10.],
           [ 0.,  1.,  1.,  0.,  2., -2.,  4.]])
    """
    shape = values.shape
    outer, inner = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
    out = np.zeros((shape[axis], len(ACTIVITY)))
    _activity(computable(values.reshape(outer, shape[axis], inner)), low, high, out)
    return out
