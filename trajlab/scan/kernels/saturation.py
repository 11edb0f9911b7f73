"""How many values of each unit lie in the flat parts of an activation."""

from typing import NamedTuple

import numpy as np

from trajlab.scan.jit import inner, jit
from trajlab.scan.track import computable

SATURATION = ("low", "high", "valid", "nonfinite")
"""For each unit the values in the flat part below and in that above, those that are finite, and those that are not."""

AT_ONCE = 1 << 30
"""Rows that are counted in 32 bits."""


class Flat(NamedTuple):
    """Where an activation is flat: from `first` to `last`, and from `above` on, all of them too; NaN for nowhere."""

    first: float = np.nan
    last: float = np.nan
    above: float = np.nan


@inner
def _count(values, first, last, above, largest):
    """Count the entries of a row: in the flat part below, in the one above, and finite ones."""
    low = np.int32(0)
    high = np.int32(0)
    valid = np.int32(0)
    for i in range(values.size):
        x = values[i]
        low = np.int32(low + np.int32((x >= first) & (x <= last)))
        high = np.int32(high + np.int32((x >= above) & (x <= largest)))
        valid = np.int32(valid + np.int32((x >= -largest) & (x <= largest)))
    return low, high, valid


@inner
def _count_columns(values, first, last, above, largest, counts):
    """Do the same for each column, (row, unit), into (3, unit) int32."""
    for o in range(values.shape[0]):
        row = values[o]
        for u in range(row.size):
            x = row[u]
            counts[0, u] += np.int32((x >= first) & (x <= last))
            counts[1, u] += np.int32((x >= above) & (x <= largest))
            counts[2, u] += np.int32((x >= -largest) & (x <= largest))


@jit
def _saturation(h, first, last, above, largest, out):
    outer, units, positions = h.shape
    if positions == 1:
        counts = np.zeros((3, units), np.int32)
        _count_columns(h[:, :, 0], first, last, above, largest, counts)
        for u in range(units):
            out[u, 0] += counts[0, u]
            out[u, 1] += counts[1, u]
            out[u, 2] += counts[2, u]
            out[u, 3] += outer - counts[2, u]
        return
    for o in range(outer):
        for u in range(units):
            low, high, valid = _count(h[o, u], first, last, above, largest)
            out[u, 0] += low
            out[u, 1] += high
            out[u, 2] += valid
            out[u, 3] += positions - valid


def saturation(values: np.ndarray, axis: int, flat: Flat) -> np.ndarray:
    """Count `SATURATION` of each unit, (unit, column) float64.

    Parameters
    ----------
    values
        Activations of one layer at one step.
    axis
        Their axis over the units.
    flat
        Where the activation is flat.

    Examples
    --------
    >>> saturation(np.array([[0.995, 0.5], [-1.0, np.nan]]), 1, Flat(-np.inf, -0.99, 0.99))
    array([[1., 1., 2., 0.],
           [0., 0., 1., 1.]])
    """
    shape = values.shape
    outer, positions = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
    out = np.zeros((shape[axis], len(SATURATION)))
    rows = computable(values.reshape(outer, shape[axis], positions))
    largest = np.finfo(rows.dtype).max
    first = _within(max(flat.first, -float(largest)), rows.dtype, 1)
    last, above = _within(flat.last, rows.dtype, -1), _within(flat.above, rows.dtype, 1)
    for row in range(0, outer, AT_ONCE):
        _saturation(rows[row : row + AT_ONCE], first, last, above, largest, out)
    return out


def _within(bound: float, dtype: np.dtype, side: int) -> np.floating:
    """Return the number of a type that is nearest to a bound and does not cross it."""
    near = dtype.type(bound)
    beyond = near < bound if side > 0 else near > bound
    return np.nextafter(near, dtype.type(side * np.inf)) if beyond else near


def certainty(values: np.ndarray, axis: int, unit_axis: int | None, least: float, logarithm: bool) -> np.ndarray:
    """Count `SATURATION` of a softmax, whose positions are `high` where the largest share is above a bound.

    Parameters
    ----------
    values
        What a softmax gives, or the logarithm of that.
    axis
        The axis along which it sums to 1.
    unit_axis
        The axis over the units, if these have shares each of their own, such as the heads of an attention.
    least
        The bound.
    logarithm
        Whether the values are logarithms.

    Returns
    -------
    array : (unit, column)
        A position with a value that is NaN or Inf is not valid; all such values are counted. Nor is one at which all
        but one share are −0.0, which marks masked ones: it has no choice. There is no `low`. Of a logarithm, -Inf is a
        share of 0.

    Examples
    --------
    >>> certainty(np.array([[1.0, 0.0], [0.5, 0.5], [0.1, 0.9]]), 1, None, 0.8, False)
    array([[0., 2., 3., 0.]])
    """
    finite = np.isfinite(values) | (np.isneginf(values) if logarithm else False)
    largest = values.max(axis).astype(np.float64)
    sure = (largest > np.log(least)) if logarithm else (largest > least)
    is_finite = finite.all(axis)
    if values.shape[axis] > 1 and not logarithm:
        is_finite &= (~np.signbit(values) | (values != 0)).sum(axis) > 1
    parts = [sure & is_finite, is_finite]
    lost = values.shape[axis] - finite.sum(axis)
    if unit_axis is None:
        counts = [part.sum() for part in (*parts, lost)]
        return np.array([[0.0, counts[0], counts[1], counts[2]]])
    axis_left = unit_axis - (axis < unit_axis)
    rows = [np.moveaxis(part, axis_left, 0).reshape(values.shape[unit_axis], -1).sum(1) for part in (*parts, lost)]
    return np.stack([np.zeros(len(rows[0])), *rows], axis=1).astype(np.float64)
