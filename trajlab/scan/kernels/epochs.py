"""Variance of each entry over the steps of an epoch.

An epoch may begin in one block and end in another, so the sums of its entries must be merged. Sums of values and of
squares are kept to twice the digits of a float64. The law is that where blocks begin changes no bit of a variance, and
no mean drowns it. Plain float64 sums cannot even hold 1e-12: entries near 8 that vary by 1e-6 would lose all digits.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trajlab import sizes
from trajlab.scan.block import Block, Kernel
from trajlab.scan.jit import exact_inner, exact_jit, jit
from trajlab.scan.kernels.causes import UnitShape
from trajlab.scan.kernels.sample_strata import Strata, add_products, strata_of, total_covariance
from trajlab.scan.tiles import tile

EPOCH = ("steps", "entries", "mean", "one_one", "one_deviation", "deviation_deviation")
"""Quantities of each epoch: its recorded steps, the entries that are finite at one or more of them, the mean of their
variances over the steps, and the covariances of the estimated totals of 1 and (variance − mean) over these entries; 0
where all entries were recorded."""

RESOLUTION = 2.0**-96
"""Share of the mean square below which a variance is no more than rounding."""


@exact_inner
def two_sum(a, b):
    """Return a + b and its rounding error; Knuth 1997, The Art of Computer Programming 2, theorem 4.2.2B."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@exact_inner
def two_product(a, b):
    """Return a·b and its rounding error; Dekker 1971, doi:10.1007/BF01397083."""
    product = a * b
    a_shifted = 134217729.0 * a
    b_shifted = 134217729.0 * b
    a_high = a_shifted - (a_shifted - a)
    b_high = b_shifted - (b_shifted - b)
    a_low = a - a_high
    b_low = b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


@exact_jit
def gather(rows, lo, hi, like, count, sums):
    """Add one tile of rows to the finite steps of each entry, (entry), and its Σx and Σx² with their rests."""
    for s in range(rows.size):
        x = tile(rows[s], lo, hi, like)
        for i in range(hi - lo):
            if np.isfinite(x[i]):
                value = np.float64(x[i])
                square, rest = two_product(value, value)
                count[i] += 1
                sums[0, i], error = two_sum(sums[0, i], value)
                sums[1, i] += error
                sums[2, i], error = two_sum(sums[2, i], square)
                sums[3, i] += error + rest


@exact_jit
def variances(count, sums):
    """Return the variance of each entry over its finite steps, (entry); NaN if there are none."""
    out = np.empty(count.size)
    for i in range(count.size):
        n = np.float64(count[i])
        if n == 0:
            out[i] = np.nan
            continue
        total, total_rest = two_sum(sums[0, i], sums[1, i])
        square, square_rest = two_sum(sums[2, i], sums[3, i])
        product, rest = two_product(total, total)
        rest += 2.0 * total * total_rest
        share = product / n
        back, error = two_product(share, n)
        share_rest = ((product - back) - error + rest) / n
        spread = (square - share) + (square_rest - share_rest)
        out[i] = spread / n if spread > RESOLUTION * square else 0.0
    return out


@jit
def variance_covariances(values, order, bounds, scale, between, out):
    """Write the covariances of `EPOCH` of the variances of a sample of entries, NaN where unknown; see `Strata`."""
    count = 0
    total = 0.0
    for i in range(values.size):
        if not np.isnan(values[i]):
            count += 1
            total += values[i]
    sums = np.zeros((scale.size, 2))
    products = np.zeros((scale.size, 2, 2))
    entry = np.ones(2)
    for t in range(scale.size):
        for i in range(bounds[t], bounds[t + 1]):
            value = values[order[i]]
            if not np.isnan(value):
                entry[1] = value - total / count
                sums[t] += entry
                add_products(entry, products[t])
    covariance = np.empty((2, 2))
    total_covariance(sums, products, bounds, scale, between, covariance)
    out[0] = covariance[0, 0]
    out[1] = covariance[0, 1]
    out[2] = covariance[1, 1]


class Sums(NamedTuple):
    """An epoch that may go on beyond a block: its steps, each entry's finite steps, and its Σx and Σx² with rests.

    Of a sample of entries it also holds their strata, and lasts until all tiles are there.
    """

    steps: int
    finite: np.ndarray
    sums: np.ndarray
    strata: Strata | None = None


Found = dict[int, Sums | np.ndarray]
"""Of each epoch by its number: sums if it is the first or last one known, `EPOCH` of those between."""

State = list[tuple[int, slice, Sums | list[np.ndarray]]]
"""Number and place of each epoch in a block, and its sums; what its tiles hold if it lies wholly within."""


@dataclass(frozen=True)
class Epochs(Kernel):
    """Kernel: `EPOCH` of each epoch.

    Two epochs at most are held as sums, 36 bytes an entry each.

    Parameters
    ----------
    starts
        First step of each epoch, rising.
    """

    columns = ()
    starts: tuple[int, ...]

    @property
    def summary(self) -> tuple[str, ...]:
        """Names of what is known of each epoch, one epoch after the other."""
        return tuple(f"{name}_{epoch}" for epoch in range(len(self.starts)) for name in EPOCH)

    def folds(self, size: int) -> bool:
        """Return True: sums are 36 bytes an entry."""
        return True

    def start(self, block: Block, shared: None) -> State:
        """Return the number, place and results of each epoch in the block."""
        numbers = np.searchsorted(self.starts, [] if block.step is None else block.step, side="right") - 1
        epochs, first = np.unique(numbers, return_index=True)
        spans = zip(epochs.tolist(), first, [*first[1:], block.steps], strict=True)
        ends = (epochs[0], epochs[-1])
        strata = strata_of(block) if block.is_sample else None
        return [
            (epoch, slice(start, stop), _nothing(stop - start, block.size, strata) if epoch in ends or strata else [])
            for epoch, start, stop in spans
        ]

    def add(self, block: Block, lo: int, hi: int, state: State) -> None:
        """Add one tile."""
        for _, rows, sums in state:
            if isinstance(sums, Sums):
                gather(block.rows.addresses[rows], lo, hi, block.rows.like, sums.finite[lo:hi], sums.sums[:, lo:hi])
            else:
                part = _nothing(rows.stop - rows.start, hi - lo)
                gather(block.rows.addresses[rows], lo, hi, block.rows.like, part.finite, part.sums)
                sums.append(_of_tile(part.finite, part.sums))

    def finish(self, block: Block, state: State) -> tuple[np.ndarray, Found]:
        """Return no columns, and the sums or results of each epoch."""
        ends = (state[0][0], state[-1][0]) if state else ()
        return np.empty((block.steps, 0)), {
            epoch: (sums if epoch in ends else _closed(sums))
            if isinstance(sums, Sums)
            else _joined(rows.stop - rows.start, sums)
            for epoch, rows, sums in state
        }

    def merge(self, earlier: Found, later: Found) -> Found:
        """Return the merged epochs, and reduce those that are complete."""
        joined = earlier | later
        for epoch, before in earlier.items():
            after = later.get(epoch)
            if isinstance(before, Sums) and isinstance(after, Sums):
                joined[epoch] = _added(before, after)
        ends = (min(joined), max(joined))
        return {epoch: sums if epoch in ends else _closed(sums) for epoch, sums in sorted(joined.items())}

    def summarize(self, total: Found, shape: UnitShape, indices: np.ndarray | None) -> np.ndarray:
        """Return `EPOCH` of each epoch, NaN for those without a row."""
        out = np.full((len(self.starts), len(EPOCH)), np.nan)
        for epoch, sums in total.items():
            out[epoch] = _closed(sums)
        return out.ravel()


def _nothing(steps: int, size: int, strata: Strata | None = None) -> Sums:
    return Sums(steps, np.zeros(size, np.int32), np.zeros((4, size)), strata)


def _added(first: Sums, second: Sums) -> Sums:
    sums = np.empty_like(first.sums)
    for i in (0, 2):
        sums[i], error = two_sum.py_func(first.sums[i], second.sums[i])
        sums[i + 1] = first.sums[i + 1] + second.sums[i + 1] + error
    return Sums(first.steps + second.steps, first.finite + second.finite, sums, first.strata)


def _closed(epoch: Sums | np.ndarray) -> np.ndarray:
    if not isinstance(epoch, Sums):
        return epoch
    tiles = [slice(lo, lo + sizes.TILE_ENTRIES) for lo in range(0, epoch.finite.size, sizes.TILE_ENTRIES)]
    out = _joined(epoch.steps, [_of_tile(epoch.finite[tile], epoch.sums[:, tile]) for tile in tiles])
    if epoch.strata is not None:
        variance_covariances(variances(epoch.finite, epoch.sums), *epoch.strata, out[3:])
    return out


def _of_tile(finite: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Return the number of entries of a tile with a variance, and the mean of their variances."""
    spreads = variances(finite, sums)
    spreads = spreads[~np.isnan(spreads)]
    return np.array([spreads.size, spreads.mean() if spreads.size else 0.0])


def _joined(steps: int, tiles: list[np.ndarray]) -> np.ndarray:
    """Return `EPOCH` of all entries, without covariances, from the results of each tile."""
    entries, means = np.reshape(tiles, (-1, 2)).T
    total = entries.sum()
    mean = (entries * means).sum() / total if total else np.nan
    return np.array([steps, total, mean, 0.0, 0.0, 0.0])
