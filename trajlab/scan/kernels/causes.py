"""Why entries never changed, or never got a gradient.

Of each entry one bit is kept, whether it is active, and eight of them share a byte, the first one in its highest bit.
"""

import math
from typing import NamedTuple

import numpy as np

from trajlab.scan.jit import inner, jit

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

    @property
    def taps(self) -> int:
        """Number of taps of a kernel, 1 if there is none."""
        return math.prod(self.sizes[2:]) if self.has_taps else 1

    @property
    def is_regular(self) -> bool:
        """Whether the axes over units follow each other, and each unit holds each tap equally often."""
        if not self.unit_axes:
            return False
        first, last = self.unit_axes[0], self.unit_axes[-1]
        return self.unit_axes == tuple(range(first, last + 1)) and (self.taps == 1 or last < 2)


def bits_of(size: int) -> np.ndarray:
    """Return bits of entries none of which is active."""
    return np.zeros(-(-size // 8), np.uint8)


@inner
def set_bits(marks, lo, bits):
    """Set the bits of the entries of a tile that are marked.

    Parameters
    ----------
    marks
        1 or 0 for each entry of the tile, (entry), uint8.
    lo
        Where the tile starts, a multiple of 8.
    bits
        Bits of all entries.
    """
    eights = marks.size // 8
    words = marks[: 8 * eights].view(np.uint64)
    for k in range(eights):  # the product moves the lowest bit of each byte into the highest byte
        bits[lo // 8 + k] |= np.uint8((words[k] * np.uint64(0x8040201008040201)) >> np.uint64(56))
    for i in range(8 * eights, marks.size):
        bits[(lo + i) // 8] |= np.uint8(marks[i] << np.uint8(7 - i % 8))


def compressed(bits: np.ndarray, size: int) -> np.ndarray | None:
    """Return bits; none if no entry is active, None if all are."""
    whole, rest = bits[: size // 8], bits[size // 8 :]
    if np.bitwise_and.reduce(whole, initial=255) == 255 and np.bitwise_count(rest).sum() == size % 8:
        return None
    return bits if np.bitwise_or.reduce(bits) else np.empty(0, np.uint8)


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


def causes(active: np.ndarray | None, shape: UnitShape, indices: np.ndarray | None = None) -> np.ndarray:
    """Count inert entries by cause, (cause) in the order of `CAUSES`.

    Each entry counts once, under the first cause that holds: frozen if all entries of the parameter are inert;
    structural if its kernel tap is inert in all filters of a convolution; dead unit if all that leads into one unit
    is inert, its row, or of a matrix (in, out) its column; static otherwise.

    Parameters
    ----------
    active
        Bits of the entries that are not inert, as `compressed` returns them.
    shape
        Shape of the parameter.
    indices
        Positions of the entries in the flat parameter; without them all entries are there.

    Examples
    --------
    A 3x3 kernel whose middle tap alone was ever used:

    >>> active = np.zeros((2, 1, 3, 3), bool)
    >>> active[:, :, 1, 1] = True
    >>> causes(np.packbits(active), UnitShape(active.shape))
    array([16.,  0.,  0.,  0.])
    """
    size = math.prod(shape.sizes) if indices is None else len(indices)
    if active is None or size == 0:
        return np.zeros(len(CAUSES))
    if not active.size:
        return np.array([0.0, 0.0, size, 0.0])
    if indices is not None or not shape.is_regular:
        return _causes_by_entry(inert(active, size), shape, np.arange(size) if indices is None else indices)
    return _causes_of_groups(active, size, shape)


def _causes_of_groups(active: np.ndarray, size: int, shape: UnitShape) -> np.ndarray:
    """Count the inert entries of a whole parameter from the units and taps that hold no other: no array of entries."""
    if shape.units == size:  # each entry is a unit, as of a bias
        return np.array([0.0, size - np.bitwise_count(active).sum(dtype=np.int64), 0.0, 0.0])
    units, taps = np.zeros(shape.units, np.uint8), np.zeros(shape.taps, np.uint8)
    total = size - mark_groups(active, size, math.prod(shape.sizes[shape.unit_axes[-1] + 1 :]), units, taps)
    unused = np.count_nonzero(taps == 0) if len(taps) > 1 else 0
    structural = unused * (size // len(taps))
    dead = np.count_nonzero(units == 0) * (size // len(units)) // len(taps) * (len(taps) - unused)
    return np.array([structural, dead, 0.0, total - structural - dead], np.float64)


def _causes_by_entry(inert: np.ndarray, shape: UnitShape, entries: np.ndarray) -> np.ndarray:
    structural = np.zeros_like(inert)
    if shape.taps > 1:
        structural = inert & _whole_group_inert(inert, entries % shape.taps, shape.taps)
    dead = inert & ~structural & _whole_group_inert(inert, shape.unit_of(entries), shape.units)
    return np.array([structural.sum(), dead.sum(), 0.0, (inert & ~structural & ~dead).sum()], np.float64)


def _whole_group_inert(inert: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Return for each entry whether all entries of its group are inert."""
    active = np.bincount(group[~inert], minlength=groups) > 0
    return ~active[group]


@inner
def _ones(byte):
    """Return the number of bits that are set in a byte."""
    pairs = byte - ((byte >> 1) & 0x55)
    fours = (pairs & 0x33) + ((pairs >> 2) & 0x33)
    return (fours + (fours >> 4)) & 0x0F


@jit
def mark_groups(bits, size, together, units, taps):
    """Mark the units and the taps of a kernel that hold an active entry, and return the number of active entries.

    Parameters
    ----------
    bits, size
        Bits of the entries of a whole parameter, and their number.
    together
        Number of neighboring entries that belong to one unit.
    units, taps
        Set to 1 where an entry is active, (unit) and (tap), uint8.
    """
    active = 0
    unit = 0
    tap = 0
    for start in range(0, size, together):
        some = 0
        if taps.size == 1 and together % 8 == 0:
            for i in range(start // 8, (start + together) // 8):
                some |= np.int64(bits[i])
                active += _ones(np.int64(bits[i]))
        else:
            for i in range(start, start + together):
                bit = (bits[i // 8] >> (7 - i % 8)) & 1
                some |= bit
                active += bit
                taps[tap] |= np.uint8(bit)
                tap = tap + 1 if tap + 1 < taps.size else 0
        units[unit] |= np.uint8(some != 0)
        unit = unit + 1 if unit + 1 < units.size else 0
    return active
