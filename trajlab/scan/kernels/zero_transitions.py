"""Transitions of gradient entries between zero, small and large, their sign flips, and their weight updates."""

import math
from dataclasses import dataclass

import numpy as np

from trajlab import sizes
from trajlab.scan.block import Block, Kernel
from trajlab.scan.jit import inner, jit
from trajlab.scan.kernels.causes import CAUSES, UnitShape, bits_of, causes, compressed, either, set_bits
from trajlab.scan.kernels.transition_counts import (
    ONCE,
    PER_TAU,
    SECANTS,
    moved_counts,
    moved_near_counts,
    near_counts,
    once_counts,
)
from trajlab.scan.tiles import squares, tile
from trajlab.scan.track import Track


@jit
def add_squares(rows, lo, hi, like, out):
    """Add the number of each row's finite entries in one tile and the sum of their squares to `out`, (step, 2)."""
    for s in range(rows.size):
        if rows[s] == 0:
            continue
        row = tile(rows[s], lo, hi, like)
        total = squares(row)
        n = hi - lo
        if not math.isfinite(total):
            total = 0.0
            n = 0
            for i in range(row.size):
                if np.isfinite(row[i]):
                    total += np.float64(row[i]) ** 2
                    n += 1
        out[s, 0] += n
        out[s, 1] += total


def thresholds(block: Block, tau: tuple[float, ...], relative: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the thresholds at the step before a block and at each of its steps, (1 + step, tau).

    Also return the number of finite entries of each row and their sum of squares, (1 + step, 2); 0 if no threshold is
    relative.
    """
    sums = np.zeros((block.steps + 1, 2))
    for lo, hi in block.tiles() if relative else ():
        add_squares(np.append(block.rows.previous_address, block.rows.addresses), lo, hi, block.rows.like, sums)
    with np.errstate(invalid="ignore"):
        rms = np.sqrt(sums[:, 1] / sums[:, 0])
    return np.hstack([np.tile(tau, (rms.size, 1)), np.outer(rms, relative)]), sums


@inner
def _gathered(address, lo, hi, like, indices, out):
    """Return the weights of the entries `lo` to `hi` of a gradient; single ones are copied to `out`."""
    if indices.size == 0:
        return tile(address, lo, hi, like)
    w = tile(address, 0, indices[hi - 1] + 1, like)
    for i in range(hi - lo):
        out[i] = w[indices[lo + i]]
    return out


@inner
def _all_finite(a, b):
    """Return whether the entries of both rows are finite; of float64, False if a square is not."""
    return math.isfinite(squares(a)) and math.isfinite(squares(b))


@jit
def transitions(
    rows, previous, weights, weights_previous, indices, lo, hi, like, like_weight, tau, tau_previous, out, nonzero
):
    """Add the transitions of one tile of gradients from each step to the next.

    Parameters
    ----------
    rows, previous
        Addresses of the gradients, (step), and of the one before the first, 0 if there is none.
    weights, weights_previous
        Addresses of the weights at the same steps, 0 where they were not recorded.
    indices
        Positions of the gradients' entries in the weights, (entry); empty if all entries are there.
    lo, hi
        The tile.
    like, like_weight
        Empty arrays of the element types.
    tau, tau_previous
        Thresholds at each step, (step, tau), and at the step before the first, (tau).
    out
        (step, `ONCE` + `SECANTS` + `PER_TAU` for each tau), added to.
    nonzero
        Bits of the entries that were ever not zero, added to; see `causes`.
    """
    n = hi - lo
    active = np.zeros(n, np.uint8)
    q_kept = np.empty(n, like.dtype)
    g_kept = np.empty(n, like.dtype)
    dw = np.empty(n, np.float64)
    copies = np.empty((2, n if indices.size else 0), like_weight.dtype)
    width = len(PER_TAU)
    head = len(ONCE) + len(SECANTS)
    before = previous
    v_address = weights_previous
    v = copies[1]
    if v_address != 0:
        v = _gathered(v_address, lo, hi, like_weight, indices, copies[1])
    for s in range(rows.size):
        g = tile(rows[s], lo, hi, like)
        for i in range(n):
            active[i] |= g[i] != 0
        w = copies[s % 2]
        if weights[s] != 0:
            w = _gathered(weights[s], lo, hi, like_weight, indices, copies[s % 2])
        if before != 0:
            q = tile(before, lo, hi, like)
            x, y = q, g
            finite = _all_finite(q, g)
            if not finite:
                m = 0
                for i in range(n):
                    if np.isfinite(q[i]) and np.isfinite(g[i]):
                        q_kept[m] = q[i]
                        g_kept[m] = g[i]
                        m += 1
                x, y = q_kept[:m], g_kept[:m]
            tau_before = tau_previous if s == 0 else tau[s - 1]
            once_counts(x, y, out[s])
            for k in range(tau_previous.size):
                at = head + k * width
                near_counts(x, y, tau_before[k], tau[s, k], out[s, at : at + width])
            if v_address != 0 and weights[s] != 0:
                m = n
                x, y = q, g
                if finite and _all_finite(v, w):
                    for i in range(n):
                        dw[i] = np.float64(w[i]) - np.float64(v[i])
                else:
                    m = 0
                    for i in range(n):
                        if np.isfinite(w[i]) and np.isfinite(v[i]) and np.isfinite(q[i]) and np.isfinite(g[i]):
                            q_kept[m] = q[i]
                            g_kept[m] = g[i]
                            dw[m] = np.float64(w[i]) - np.float64(v[i])
                            m += 1
                    x, y = q_kept[:m], g_kept[:m]
                moved_counts(x, y, dw[:m], out[s])
                for k in range(tau_previous.size):
                    at = head + k * width
                    moved_near_counts(x, y, dw[:m], tau_before[k], tau[s, k], out[s, at : at + width])
        before = rows[s]
        v_address = weights[s]
        v = w
    set_bits(active, lo, nonzero)


@dataclass(frozen=True)
class Transitions(Kernel):
    """Kernel: the columns of `transitions` for each step, and which entries were ever not zero.

    Parameters
    ----------
    tau
        Absolute thresholds.
    relative
        Thresholds in units of the root mean square of the tensor at the step.
    """

    summary = CAUSES
    tau: tuple[float, ...] = ()
    relative: tuple[float, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns; the ones for each threshold end in its position."""
        count = len(self.tau) + len(self.relative)
        return ONCE + SECANTS + tuple(f"{name}_{k}" for k in range(count) for name in PER_TAU)

    def folds(self, size: int) -> bool:
        """Return whether the bits of the entries of a tensor are many."""
        return size > sizes.FOLD_ENTRIES

    def start(self, block: Block, shared: None) -> tuple[np.ndarray, ...]:
        """Return the sums, the entries that were ever nonzero, and the thresholds of each step and the one before."""
        tau, _ = thresholds(block, self.tau, self.relative)
        return np.zeros((block.steps, len(self.columns))), bits_of(block.size), tau[1:], tau[0]

    def add(self, block: Block, lo: int, hi: int, state: tuple[np.ndarray, ...]) -> None:
        """Add one tile."""
        out, nonzero, tau, tau_previous = state
        weights = block.weights or Track(positions=np.full(block.steps, -1))
        transitions(
            block.rows.addresses,
            block.rows.previous_address,
            weights.addresses,
            weights.previous_address,
            np.empty(0, np.int64) if block.indices is None else block.indices,
            lo,
            hi,
            block.rows.like,
            weights.like,
            tau,
            tau_previous,
            out,
            nonzero,
        )

    def finish(self, block: Block, state: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the sums, and the entries that were ever nonzero, as bits."""
        out, nonzero = state[:2]
        if block.rows.previous is None:
            out[0] = np.nan
        return out, compressed(nonzero, block.size)

    def merge(self, earlier: np.ndarray | None, later: np.ndarray | None) -> np.ndarray | None:
        """Return the entries that were ever nonzero."""
        return either(earlier, later)

    def summarize(self, total: np.ndarray | None, shape: UnitShape, indices: np.ndarray | None) -> np.ndarray:
        """Count the entries that were always zero by cause."""
        return causes(total, shape, indices)
