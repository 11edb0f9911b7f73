"""One compiled loop over tiles of rows for the kernels `Pairs`, `Moments` and `Distribution`.

Each tile of a row is widened once, and stays in cache for all kernels. Within a tile each kernel has its own loops, so
that its sums are bitwise the same whichever kernels share the tile.
"""

from typing import Any

import numpy as np

from trajlab import sizes
from trajlab.scan.jit import inner, jit
from trajlab.scan.kernels.causes import set_bits
from trajlab.scan.kernels.histogram import count, count_halves, widen_range
from trajlab.scan.kernels.pair_sums import add_pairs, mark_changed, zeros
from trajlab.scan.kernels.power_sums import add_powers
from trajlab.scan.tiles import floats_of, squares, tile
from trajlab.scan.track import Track


def add_tiles(
    rows: Track, lo: int, hi: int, *, pairs: tuple | None = None, moments: np.ndarray | None = None,
    bins: np.ndarray | None = None, ends: tuple | None = None,
) -> None:  # fmt: skip
    """Add the entries `lo` to `hi` of each row to sums, tile by tile; sums that are None are left out.

    Parameters
    ----------
    rows
        The rows.
    lo, hi
        The entries; `lo` is the start of a tile.
    pairs
        Sums, (step, `PAIRS`); bits of the entries that ever differed from the reference, see `causes`; and the absolute
        and the relative tolerance of `beyond`.
    moments
        Sums, (step, `MOMENTS`).
    bins
        Counts of the previous row and of each row by leading bits, (1 + step, KEYS) uint32.
    ends
        Least and greatest finite entry of the first and the last row, (2); and counts of the reference by leading bits,
        (1, KEYS), or (0, KEYS) to leave them out. With `bins`, a reference that is one of the rows is not counted
        again.

    Raises
    ------
    ValueError
        There are `pairs`, but no reference.
    """
    if pairs is not None and not rows.reference_address:
        raise ValueError("cannot compare rows with a reference: there is none; pass one to `scan`")
    arguments: tuple[Any, ...] = rows.like, rows.like_bits, rows.bits, pairs, moments, bins, ends
    _add_tiles(rows.addresses, rows.previous_address, rows.reference_address, lo, hi, *arguments)


@jit
def _add_tiles(rows, previous, reference, lo, hi, like, float_bits, bits, pairs, moments, bins, ends):
    wide = np.empty((3, sizes.TILE_ENTRIES if bits.itemsize < like.itemsize else 0), like.dtype)
    for start in range(lo, hi, sizes.TILE_ENTRIES):
        stop = min(start + sizes.TILE_ENTRIES, hi)
        addresses = rows, previous, reference
        _add_tile(addresses, start, stop, like, float_bits, bits, pairs, moments, bins, ends, wide)


@inner
def _add_tile(addresses, lo, hi, like, float_bits, bits, pairs, moments, bins, ends, wide):
    rows, previous, reference = addresses
    if pairs is not None:
        out, changed, atol, rtol = pairs
        r = floats_of(reference, lo, hi, like, bits, wide[2])
        r_bits = tile(reference, lo, hi, bits)
        of_r = squares(r), zeros(r)
        v, v_bits, of_v = r, r_bits, of_r
        if previous != 0:
            v = floats_of(previous, lo, hi, like, bits, wide[1])
            v_bits = tile(previous, lo, hi, bits)
            of_v = squares(v), zeros(v)
        differs = np.zeros(hi - lo, np.uint8)
        saturated = False
    if bins is not None:
        if previous != 0:
            _count(previous, lo, hi, like, bits, bins[:1])
    if ends is not None:
        outermost, counts = ends
        if counts.size and (bins is None or not _holds(rows, reference)):
            _count(reference, lo, hi, like, bits, counts)
    for s in range(rows.size):
        w = floats_of(rows[s], lo, hi, like, bits, wide[s % 2])
        w_bits = tile(rows[s], lo, hi, bits)
        if pairs is not None:
            of_w, differing = add_pairs(w, r, v, w_bits, r_bits, v_bits, of_r, of_v, float_bits, atol, rtol, out[s])
            if not saturated:
                saturated = differing == hi - lo
                if saturated:
                    differs[:] = 1
                else:
                    mark_changed(w_bits, r_bits, differs)
            v, v_bits, of_v = w, w_bits, of_w
        if moments is not None:
            add_powers(w, w_bits, float_bits, moments[s])
        if bins is not None:
            _count(rows[s], lo, hi, like, bits, bins[s + 1 : s + 2])
        if ends is not None:
            if s == 0 or s == rows.size - 1:
                widen_range(w, w_bits, float_bits, outermost)
    if pairs is not None:
        set_bits(differs, lo, changed)


@inner
def _count(address, lo, hi, like, bits, counts):
    """Count one tile of a row in its bins, (1, KEYS)."""
    if bits.itemsize < like.itemsize:
        count_halves(tile(address, lo, hi, bits).view(np.uint16), counts[0])
    else:
        count(tile(address, lo, hi, like), counts)


@inner
def _holds(rows, address):
    """Return whether an address is that of a row."""
    for s in range(rows.size):
        if rows[s] == address:
            return True
    return False
