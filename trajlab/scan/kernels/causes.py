"""Why entries never changed, or never got a gradient."""

import math
from typing import NamedTuple

import numpy as np

CAUSES = ("structural", "dead_unit", "frozen", "static")


class UnitShape(NamedTuple):
    """Shape of a tensor, and what its axes run over.

    Parameters
    ----------
    sizes
        The shape.
    unit_axes
        Axes over units.
    has_taps
        Whether the axes after the first two are those of a kernel.
    """

    sizes: tuple[int, ...]
    unit_axes: tuple[int, ...] = (0,)
    has_taps: bool = True

    @property
    def units(self) -> int:
        """Number of units."""
        return math.prod(self.sizes[axis] for axis in self.unit_axes) if self.sizes else 1

    def unit_of(self, entries: np.ndarray) -> np.ndarray:
        """Return the unit of each entry, from its position in the flat tensor."""
        unit = np.zeros_like(entries)
        for axis in self.unit_axes if self.sizes else ():
            within = math.prod(self.sizes[axis + 1 :])
            unit = unit * self.sizes[axis] + entries // max(within, 1) % self.sizes[axis]
        return unit


def packed(active: np.ndarray) -> np.ndarray | None:
    """Return a bit for each entry, set if it is active; no bits if no entry is active, None if all are."""
    if active.all():
        return None
    return np.packbits(active) if active.any() else np.empty(0, np.uint8)


def either(earlier: np.ndarray | None, later: np.ndarray | None) -> np.ndarray | None:
    """Return the entries that are active in either of two runs of steps, packed."""
    if earlier is None or later is None:
        return None
    return earlier | later if earlier.size and later.size else earlier if earlier.size else later


def inert(active: np.ndarray | None, size: int) -> np.ndarray:
    """Return which entries are not active, (entry)."""
    if active is None or not active.size:
        return np.full(size, active is not None)
    return ~np.unpackbits(active, count=size).astype(bool)


def causes(inert: np.ndarray, shape: UnitShape, indices: np.ndarray | None = None) -> np.ndarray:
    """Count inert entries by cause, (cause) in the order of `CAUSES`.

    Each entry counts once, under the first cause that holds: frozen if all entries of the parameter are inert;
    structural if its kernel tap is inert in all filters of a convolution; dead unit if all that leads into one unit
    is inert, its row, or of a matrix (in, out) its column; static otherwise.

    Parameters
    ----------
    inert
        Which entries never changed, (entry).
    shape
        Shape of the parameter.
    indices
        Positions of the entries in the flat parameter; without them all entries are there.

    Examples
    --------
    A 3x3 kernel whose middle tap alone was ever used:

    >>> inert = np.ones((2, 1, 3, 3), bool)
    >>> inert[:, :, 1, 1] = False
    >>> causes(inert.ravel(), UnitShape(inert.shape))
    array([16.,  0.,  0.,  0.])
    """
    if inert.size == 0 or not inert.any():
        return np.zeros(4)
    if inert.all():
        return np.array([0.0, 0.0, inert.size, 0.0])
    entries = np.arange(inert.size) if indices is None else indices
    taps = math.prod(shape.sizes[2:]) if shape.has_taps else 1
    structural = inert & _whole_group_inert(inert, entries % taps, taps) if taps > 1 else np.zeros_like(inert)
    dead = inert & ~structural & _whole_group_inert(inert | structural, shape.unit_of(entries), shape.units)
    return np.array([structural.sum(), dead.sum(), 0.0, (inert & ~structural & ~dead).sum()], np.float64)


def causes_of_inert(active: np.ndarray | None, shape: UnitShape, indices: np.ndarray | None) -> np.ndarray:
    """Count the entries that are not `active`, bits as `packed` returns them, by cause; see `causes`."""
    if active is None:
        return np.zeros(len(CAUSES))
    return causes(inert(active, math.prod(shape.sizes) if indices is None else indices.size), shape, indices)


def _whole_group_inert(inert: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Return for each entry whether all entries of its group are inert."""
    active = np.bincount(group[~inert], minlength=groups) > 0
    return ~active[group]
