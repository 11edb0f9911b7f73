"""Tiles of rows at addresses, and their finite entries: the base of all kernels.

A row is one tensor at one step, flat. A kernel takes the entries ``lo`` to ``hi`` (a tile) of all rows of a block,
so that rows are read once while the tile stays in cache. Tiles, not blocks, are the units of summation: how many
steps share a block never changes a sum. Sums are float64. A tile that holds NaN or Inf is first compacted to its
finite entries.
"""

import numpy as np
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from trajlab.scan.jit import inner


@intrinsic
def pointer(typing, address):
    """Return an address, uint64, as a pointer."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.uint64), generate


@inner
def tile(address, lo, hi, like):
    """Entries `lo` to `hi` of the row at an address, of the element type of `like`; nothing is copied."""
    return carray(pointer(np.uint64(address + lo * like.itemsize)), (hi - lo,), like.dtype)


@inner
def squares(w):
    """Sum of squares: finite exactly if all entries are, for float32."""
    total = 0.0
    for i in range(w.size):
        total += np.float64(w[i]) * np.float64(w[i])
    return total


@inner
def compact(w, r, w_finite, r_finite):
    """Copy the entries at which both rows are finite to the front of the buffers, and return their number."""
    n = 0
    for i in range(w.size):
        if np.isfinite(w[i]) and np.isfinite(r[i]):
            w_finite[n] = w[i]
            r_finite[n] = r[i]
            n += 1
    return n


@inner
def extremes(bits):
    """Return the bits of the least and of the greatest of some floats; NaN lies beyond Inf of its sign.

    Parameters
    ----------
    bits
        The floats as signed integers of their size.
    """
    integer = bits.dtype.type
    magnitude = integer((1 << (8 * bits.itemsize - 1)) - 1)
    low = magnitude
    high = integer(~magnitude)
    for i in range(bits.size):
        key = integer(bits[i] ^ magnitude) if bits[i] < 0 else bits[i]  # signed integers in the order of the floats
        low = min(low, key)
        high = max(high, key)
    return integer(low ^ magnitude) if low < 0 else low, integer(high ^ magnitude) if high < 0 else high


@inner
def float_of(pattern, bits, like, float_bits):
    """Return the float with some bits; those of a bfloat16 are the leading ones of a float32.

    Parameters
    ----------
    pattern
        The bits, one signed integer.
    bits
        Array of its type.
    like, float_bits
        Arrays of the element type of the floats, and of the signed integers of its size.
    """
    whole = np.empty(1, float_bits.dtype)
    whole[0] = np.int64(pattern) << (16 if bits.itemsize < like.itemsize else 0)
    return np.float64(whole.view(like.dtype)[0])


@inner
def floats_of(address, lo, hi, like, bits, wide):
    """Return the entries `lo` to `hi` of the row at an address as floats; bfloat16 entries are widened into `wide`."""
    if bits.itemsize == like.itemsize:
        return tile(address, lo, hi, like)
    halves = tile(address, lo, hi, bits).view(np.uint16)
    words = wide.view(np.uint32)
    for i in range(hi - lo):
        words[i] = np.uint32(halves[i]) << np.uint32(16)
    return wide[: hi - lo]
