"""How much each unit of a layer does over the positions of a probe."""

import numpy as np

from trajlab.kernels.block import computable
from trajlab.kernels.tiles import inner

ACTIVITY = ("active", "valid", "nonfinite", "positive", "size")
"""For each unit the positions at which it is finite and > 0, finite, and NaN or Inf; and over the finite ones
Σ max(h, 0) and Σ|h|."""


@inner
def _activity(h, out):
    outer, units, inner = h.shape
    for o in range(outer):
        for u in range(units):
            row = h[o, u]
            active = 0
            valid = 0
            positive = 0.0
            size = 0.0
            for i in range(inner):
                finite = np.isfinite(row[i])
                value = np.float64(row[i]) if finite else 0.0
                active += value > 0
                valid += finite
                positive += value if value > 0 else 0.0
                size += abs(value)
            out[u, 0] += active
            out[u, 1] += valid
            out[u, 2] += inner - valid
            out[u, 3] += positive
            out[u, 4] += size


def activity(values: np.ndarray, axis: int) -> np.ndarray:
    """Give `ACTIVITY` of each unit, (unit, column) float64.

    Parameters
    ----------
    values
        Activations of one layer at one step.
    axis
        Their axis over the units.

    Examples
    --------
    >>> activity(np.array([[1.0, -2.0], [3.0, np.nan]]), axis=1)
    array([[2., 2., 0., 4., 4.],
           [0., 1., 1., 0., 2.]])
    """
    shape = values.shape
    outer, inner = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
    out = np.zeros((shape[axis], len(ACTIVITY)))
    _activity(computable(values.reshape(outer, shape[axis], inner)), out)
    return out
