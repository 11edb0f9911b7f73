"""Fixed bins whose fullest ones are split, so that resolution is relative to the spread of a row, not to its values.

A row of weights near 1 occupies a few of the bins of `histogram`. A bin that holds more than `FULL` of the entries is
split into `PIECES` evenly wide pieces over the range of a sample of its entries, and two for what lies beyond. Each
piece keeps its least and its greatest entry, so that tied and discrete values are exact.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from trajlab.scan.jit import inner, jit
from trajlab.scan.kernels.histogram import (
    HIGH,
    KEYS,
    LARGEST,
    LOW,
    OUTERMOST,
    ZERO,
    counts_of,
    leading_bits,
    occupied,
)

FULL = 1 / 128
"""Share of a row's entries in one bin from which on the bin is split."""

PIECES = 1024
"""Number of pieces of a bin that is split."""

SAMPLE = 1 << 14
"""Number of entries that tell where the pieces lie."""

TINY = 2.0**-100
"""Rows with other entries smaller than this, or with none, are searched for tiny values among their zeros."""


Row = Callable[[], Iterable[np.ndarray]]
"""Reads the entries of a row, in pieces."""


class Bins(NamedTuple):
    """Bins that hold finite entries, in ascending order and disjoint.

    Parameters
    ----------
    low, high
        Ends of each bin, both within it, (bin) float64; equal for a single value.
    upto
        0, then the number of entries up to the end of each bin, (bin + 1).
    """

    low: np.ndarray
    high: np.ndarray
    upto: np.ndarray


class Split(NamedTuple):
    """How bins are split, and what their pieces hold.

    Parameters
    ----------
    slots
        Position of a bin among the split ones by leading bits, -1 if it is not split, (KEYS).
    first, last, scale
        Range of the inner pieces of each split bin, and pieces per unit, (split).
    counts, low, high
        Entries, the least and the greatest of each piece, (split, PIECES + 2).
    """

    slots: np.ndarray
    first: np.ndarray
    last: np.ndarray
    scale: np.ndarray
    counts: np.ndarray
    low: np.ndarray
    high: np.ndarray


@jit
def occupied_bins(counts, low_of, high_of):
    """Return the occupied bins, and whether some are to be split.

    Parameters
    ----------
    counts
        Entries by leading bits, (KEYS); zero afterwards.
    low_of, high_of
        `LOW` and `HIGH`.

    Returns
    -------
    keys, low, high, upto, full
        Keys of the bins, the parts of `Bins`, and whether one is full. The bin of the zeros may hold tiny values, and
        is full if no others are well above these.
    """
    keys = np.empty(KEYS + 1, np.int32)
    upto = np.empty(KEYS + 1, np.int64)
    m = occupied(counts, keys, upto)
    low = np.empty(m)
    high = np.empty(m)
    limit = FULL * upto[m]
    zeros = False
    nearest = np.inf
    full = False
    for i in range(m):
        key = keys[i]
        low[i] = low_of[key]
        high[i] = high_of[key]
        over = upto[i + 1] - upto[i] > limit
        if key == ZERO:
            zeros = over
        else:
            full |= over
            nearest = min(nearest, abs(low[i]), abs(high[i]))
    full |= zeros and (nearest < TINY or m == 1)
    return keys[:m].copy(), low, high, upto[: m + 1].copy(), full


def full_bins(keys: np.ndarray, upto: np.ndarray, dtype: np.dtype, row: Row) -> np.ndarray:
    """Return which of the occupied bins of a row are to be split, (bin): full ones, and those beyond float32.

    Zeros are a bin of their own, unless tiny values are among them.
    """
    full = np.diff(upto) > FULL * upto[-1]
    if full[keys == ZERO].any():
        full[keys == ZERO] = any(map(holds_tiny, row()))
    if dtype == np.float64:
        full |= np.isin(keys, OUTERMOST)
    return full


def split_of(keys: np.ndarray, sample: np.ndarray) -> Split:
    """Lay out the pieces of bins.

    Parameters
    ----------
    keys
        Keys of the bins that are split, (split).
    sample
        Entries of the row that tell where the pieces lie; beyond their middle 98 %, pieces reach half as far again.
    """
    slots = np.full(KEYS, -1, np.int16)
    slots[np.where(keys >= ZERO, keys - ZERO, KEYS - 1 - keys)] = np.arange(len(keys))
    if ZERO in keys:
        slots[KEYS // 2] = slots[0]
    first, last = LOW[keys], HIGH[keys]
    finite = sample[np.isfinite(sample)].astype(np.float64)
    single = np.clip(finite, -LARGEST, LARGEST).astype(np.float32)
    position = slots[single.view(np.uint32) >> 16]
    for slot in range(len(keys)):
        within = finite[position == slot]
        if len(within):
            low, high = np.quantile(within, [0.01, 0.99], method="closest_observation")
            first[slot], last[slot] = low - (high / 2 - low / 2), high + (high / 2 - low / 2)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        scale = PIECES / (last - first)
    scale[~np.isfinite(scale)] = 0.0
    shape = len(keys), PIECES + 2
    return Split(
        slots, first, last, scale, np.zeros(shape, np.int64), np.full(shape, np.inf), np.full(shape, -np.inf)
    )  # fmt: skip


@jit
def count_pieces(w, split):
    """Add the entries of a row to the pieces of the bins that are split."""
    halves = leading_bits(w)
    for i in range(w.size):
        slot = split.slots[halves[2 * i + 1]]
        if slot < 0:
            continue
        x = np.float64(w[i])
        piece = 1 + min(np.int64((x - split.first[slot]) * split.scale[slot]), PIECES - 1)
        if x < split.first[slot]:
            piece = 0
        if x > split.last[slot]:
            piece = PIECES + 1
        split.counts[slot, piece] += 1
        split.low[slot, piece] = min(split.low[slot, piece], x)
        split.high[slot, piece] = max(split.high[slot, piece], x)


def joined(keys: np.ndarray, bins: Bins, split: Split) -> Bins:
    """Return occupied bins, with the pieces of those that are split in their places."""
    slots = split.slots[np.where(keys >= ZERO, keys - ZERO, KEYS - 1 - keys)]
    whole = slots < 0
    parts = split.counts > 0
    rank_of_slot = np.full(len(split.counts), -1)
    rank_of_slot[slots[~whole]] = np.flatnonzero(~whole)
    rank = np.concatenate([np.flatnonzero(whole), np.repeat(rank_of_slot, parts.sum(1))])
    order = np.argsort(rank, kind="stable")
    low = np.concatenate([bins.low[whole], split.low[parts]])[order]
    high = np.concatenate([bins.high[whole], split.high[parts]])[order]
    counts = np.concatenate([np.diff(bins.upto)[whole], split.counts[parts]])[order]
    return Bins(low, high, np.concatenate([[0], np.cumsum(counts)]))


@inner
def _is_tiny(value):
    return (value != 0.0) & (abs(value) < 2.0**-133)


@jit
def holds_tiny(w):
    """Return whether a row holds values that are not 0, but counted as such."""
    tiny = 0
    for i in range(w.size):
        tiny += _is_tiny(np.float64(w[i]))
    return tiny > 0


def bins_of_counts(counts: np.ndarray, dtype: np.dtype, size: int, row: Row) -> Bins:
    """Return the bins that the finite entries of a row lie in.

    Parameters
    ----------
    counts
        Its entries by leading bits, (KEYS); zero afterwards.
    dtype, size
        Its element type, and the number of its entries.
    row
        Reads the row; called only if bins are to be split.
    """
    keys, *parts, full = occupied_bins(counts, LOW, HIGH)
    bins = Bins(*parts)
    if dtype == np.float64 and len(keys):
        full |= keys[0] == OUTERMOST[0] or keys[-1] == OUTERMOST[1]
    if not full:
        return bins
    chosen = full_bins(keys, bins.upto, dtype, row)
    if not chosen.any():
        return bins
    split = split_of(keys[chosen], _sample(row(), (size // SAMPLE) | 1))
    for piece in row():
        count_pieces(piece, split)
    return joined(keys, bins, split)


def bins_of(w: np.ndarray) -> Bins:
    """Return the bins that the finite entries of a row lie in."""
    return bins_of_counts(counts_of(w), w.dtype, w.size, lambda: [w])


def _sample(pieces: Iterable[np.ndarray], stride: int) -> np.ndarray:
    """Return the entries of a row at a stride, from the first one on."""
    parts, start = [], 0
    for piece in pieces:
        parts.append(piece[-start % stride :: stride].copy())
        start += len(piece)
    return np.concatenate(parts)
