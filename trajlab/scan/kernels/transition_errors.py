"""Covariances of the counts that rates of transitions and sign flips are made of, over samples of entries.

A threshold relative to the root mean square (RMS) of a row carries the error of that RMS, as both come from one sample:
a count changes with the logarithm of the RMS as the entries are dense around the threshold. What heavy tails hide from
a sample adds to its error, see `pareto_tail`.
"""

import math
from dataclasses import dataclass

import numpy as np

from trajlab.scan.block import Block, Kernel
from trajlab.scan.jit import inner, jit
from trajlab.scan.kernels.pareto_tail import hidden_variance
from trajlab.scan.kernels.sample_strata import Strata, strata_of, total_covariance
from trajlab.scan.kernels.transition_counts import ONCE, PER_TAU, moved_counts, near_counts, once_counts
from trajlab.scan.kernels.zero_transitions import thresholds

RATES = ("flip_rate", "minima_rate", "maxima_rate")
RATES_OF_TAU = ("fraction_near_zero", "fraction_released", "fraction_captured", "flip_rate_retained")
COVARIANCES = ("part_part", "part_whole", "whole_whole")
"""Of a rate: covariances of the estimated totals of its numerator and denominator."""

MIN_WINDOW = 0.1
"""Smallest half-width, in logarithms, of the window around a threshold in which the density of entries is taken."""

_PARTS = np.array([[0, 0, 1, 0, 0, 0], [0, 1, 0, -1, 0, 0], [0, 0, 1, -1, 0, 0], [0, 0, 0, 0, 0, 1]], np.float64)
_WHOLES = np.array([[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [1, -1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0]], np.float64)
"""Numerators and denominators of `RATES_OF_TAU` in terms of `_INDICATORS`."""

_INDICATORS = 6
"""Finite at both steps; of these near before, near now, near both times; of the latter non-zero both times, flipped."""


@inner
def _counts(q, g, tau_previous, tau, out):
    """Write the sums of `_INDICATORS`."""
    counts = np.zeros(len(PER_TAU))
    near_counts(q, g, tau_previous, tau, counts)
    out[0] = q.size
    out[1] = counts[0]
    out[2] = counts[1]
    out[3] = counts[4]
    out[4] = counts[5]
    out[5] = counts[6]


@inner
def _products_of_counts(counts, products):
    """Write the sums of products of `_INDICATORS`: each of them implies the first, the last three imply those before.

    Near before and near now together are near both times.
    """
    for a in range(_INDICATORS):
        for b in range(a + 1):
            products[a, b] = counts[a]
    products[2, 1] = counts[3]


@inner
def _add_influence(q, g, tau_previous, tau, square_previous, square, sums, products):
    """Add the influence of each entry on the logarithms of both RMS, (x²/mean square − 1)/2, as two more variables."""
    for i in range(q.size):
        x = (q[i] * q[i] / square_previous - 1.0) / 2.0 if square_previous > 0.0 else 0.0
        y = (g[i] * g[i] / square - 1.0) / 2.0 if square > 0.0 else 0.0
        b = abs(q[i]) <= tau_previous
        d = abs(g[i]) <= tau
        signed = (b & d) & (q[i] != 0) & (g[i] != 0)
        flip = signed & ((q[i] > 0) != (g[i] > 0))
        sums[6] += x
        sums[7] += y
        products[6, 0] += x
        products[7, 0] += y
        products[6, 6] += x * x
        products[7, 6] += x * y
        products[7, 7] += y * y
        products[6, 1] += x if b else 0.0
        products[7, 1] += y if b else 0.0
        products[6, 2] += x if d else 0.0
        products[7, 2] += y if d else 0.0
        products[6, 3] += x if b & d else 0.0
        products[7, 3] += y if b & d else 0.0
        products[6, 4] += x if signed else 0.0
        products[7, 4] += y if signed else 0.0
        products[6, 5] += x if flip else 0.0
        products[7, 5] += y if flip else 0.0


@inner
def _slopes(q, g, tau_previous, tau, window_previous, window, out):
    """Write the change of each count with the logarithm of each threshold, (2, indicator)."""
    low = np.empty(_INDICATORS)
    high = np.empty(_INDICATORS)
    _counts(q, g, tau_previous * math.exp(-window_previous), tau, low)
    _counts(q, g, tau_previous * math.exp(window_previous), tau, high)
    out[0] = (high - low) / (2.0 * window_previous)
    _counts(q, g, tau_previous, tau * math.exp(-window), low)
    _counts(q, g, tau_previous, tau * math.exp(window), high)
    out[1] = (high - low) / (2.0 * window)


@inner
def _write(part, whole, covariance, out):
    """Write the covariances of a numerator and a denominator, linear in the variables of a covariance matrix."""
    for which in range(3):
        a = whole if which == 2 else part
        b = part if which == 0 else whole
        total = 0.0
        for i in range(part.size):
            for j in range(part.size):
                total += a[i] * b[j] * covariance[i, j]
        out[which] = total


@jit
def rate_covariances(
    q, g, dw, order, bounds, scale, between, entries, tau_previous, tau, relative, squares_previous, squares,
    hidden_previous, hidden, out,
):  # fmt: skip
    """Write the `COVARIANCES` of `RATES`, and of `RATES_OF_TAU` for each threshold, of the transition between two rows.

    Parameters
    ----------
    q, g
        The rows before and now.
    dw
        Change of the weights, (entry), NaN where unknown.
    order, bounds, scale, between
        See `Strata`.
    entries
        Number of entries of the whole tensor.
    tau_previous, tau
        Thresholds before and now, (tau).
    relative
        Whether they are relative, (tau).
    squares_previous, squares
        Number of finite entries of each row, and their sum of squares, (2).
    hidden_previous, hidden
        See `hidden_variance`, of each row.
    """
    strata, n = scale.size, q.size
    x = np.empty(n)
    y = np.empty(n)
    change = np.empty(n)
    ends = np.zeros(strata + 1, np.int64)
    once = np.zeros((strata, 4))
    once_products = np.zeros((strata, 4, 4))
    counts = np.zeros(len(ONCE) + 2)
    for t in range(strata):
        m = ends[t]
        k = m
        for i in range(bounds[t], bounds[t + 1]):
            at = order[i]
            if np.isfinite(q[at]) and np.isfinite(g[at]):
                x[m] = q[at]
                y[m] = g[at]
                if np.isfinite(dw[at]):
                    x[k], x[m] = x[m], x[k]
                    y[k], y[m] = y[m], y[k]
                    change[k] = dw[at]
                    k += 1
                m += 1
        ends[t + 1] = m
        counts[:] = 0.0
        once_counts(x[ends[t] : m], y[ends[t] : m], counts)
        moved_counts(x[ends[t] : k], y[ends[t] : k], change[ends[t] : k], counts)
        once[t, 0] = counts[4]
        once[t, 1] = counts[5]
        once[t, 2] = counts[11]
        once[t, 3] = counts[12]
        for a in range(4):
            once_products[t, a, a] = once[t, a]
            once_products[t, a, 0] = once[t, a]
        once_products[t, 2, 1] = once[t, 2]
        once_products[t, 3, 1] = once[t, 3]
    covariance = np.empty((4, 4))
    total_covariance(once, once_products, bounds, scale, between, covariance)
    whole = np.array([1.0, 0.0, 0.0, 0.0])
    for rate in range(3):
        part = np.zeros(4)
        part[rate + 1] = 1.0
        _write(part, whole, covariance, out[3 * rate : 3 * rate + 3])
    wide = _INDICATORS + 2
    for k in range(tau.size):
        sums = np.zeros((strata, wide))
        products = np.zeros((strata, wide, wide))
        for t in range(strata):
            q_of, g_of = x[ends[t] : ends[t + 1]], y[ends[t] : ends[t + 1]]
            _counts(q_of, g_of, tau_previous[k], tau[k], sums[t])
            _products_of_counts(sums[t], products[t])
            if relative[k]:
                mean_previous = squares_previous[1] / max(squares_previous[0], 1.0)
                mean = squares[1] / max(squares[0], 1.0)
                _add_influence(q_of, g_of, tau_previous[k], tau[k], mean_previous, mean, sums[t], products[t])
        covariance = np.empty((wide, wide))
        total_covariance(sums, products, bounds, scale, between, covariance)
        slopes = np.zeros((2, _INDICATORS))
        if relative[k]:
            covariance[6, 6] += entries * entries * hidden_previous
            covariance[7, 7] += entries * entries * hidden
            covariance[6, 7] += entries * entries * math.sqrt(hidden_previous * hidden)
            covariance[7, 6] = covariance[6, 7]
            window_previous = max(MIN_WINDOW, 2.0 * math.sqrt(covariance[6, 6]) / entries)
            window = max(MIN_WINDOW, 2.0 * math.sqrt(covariance[7, 7]) / entries)
            m = ends[strata]
            _slopes(x[:m], y[:m], tau_previous[k], tau[k], window_previous, window, slopes)
        for rate in range(4):
            part = np.zeros(wide)
            whole = np.zeros(wide)
            part[:_INDICATORS] = _PARTS[rate]
            whole[:_INDICATORS] = _WHOLES[rate]
            for i in range(_INDICATORS):
                for which in range(2):
                    part[_INDICATORS + which] += _PARTS[rate, i] * slopes[which, i] / n
                    whole[_INDICATORS + which] += _WHOLES[rate, i] * slopes[which, i] / n
            at = 9 + 12 * k + 3 * rate
            _write(part, whole, covariance, out[at : at + 3])


@dataclass(frozen=True)
class TransitionErrors(Kernel):
    """Kernel: `COVARIANCES` of each rate; 0 where all entries were recorded, NaN at the first step.

    Parameters
    ----------
    tau
        Absolute thresholds.
    relative
        Thresholds in units of the root mean square of the tensor at the step.
    """

    tau: tuple[float, ...] = ()
    relative: tuple[float, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns; the ones for each threshold end in its position."""
        count = len(self.tau) + len(self.relative)
        once = [f"{rate}_{which}" for rate in RATES for which in COVARIANCES]
        return (*once, *(f"{rate}_{which}_{k}" for k in range(count) for rate in RATES_OF_TAU for which in COVARIANCES))

    def start(self, block: Block, shared: None) -> tuple[np.ndarray, np.ndarray]:
        """Return the thresholds, and the sums of squares that they are made of."""
        return thresholds(block, self.tau, self.relative)

    def finish(self, block: Block, state: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, None]:
        """Return the covariances of each step."""
        out = np.zeros((block.steps, len(self.columns)))
        before = block.rows.row_before()
        if block.is_sample:
            self._fill(block, before, *state, strata_of(block), out)
        if before is None:
            out[0] = np.nan
        return out, None

    def _fill(
        self, block: Block, q: np.ndarray | None, tau: np.ndarray, squares: np.ndarray, strata: Strata, out: np.ndarray
    ) -> None:
        entries = float(math.prod(block.shape))
        relative = np.arange(tau.shape[1]) >= len(self.tau)
        hidden = 0.0 if q is None else self._hidden(q, entries)
        for step, (g, dw) in enumerate(zip(block.rows.arrays(), _weight_changes(block), strict=True)):
            hidden_before, hidden = hidden, self._hidden(g, entries)
            if q is not None:
                rate_covariances(
                    q, g, dw, *strata, entries, tau[step], tau[step + 1], relative, squares[step], squares[step + 1],
                    hidden_before, hidden, out[step],
                )  # fmt: skip
            q = g

    def _hidden(self, row: np.ndarray, entries: float) -> float:
        """Return `hidden_variance` of a row if a threshold is relative, else 0."""
        finite = row[np.isfinite(row)].astype(np.float64) if self.relative else row[:0]
        return hidden_variance(finite, entries * finite.size / row.size) if finite.size else 0.0


def _weight_changes(block: Block) -> list[np.ndarray]:
    """Return the change of the weights of the sampled entries, (step) of (entry); NaN where it is unknown."""
    unknown = np.full(block.size, np.nan)
    track = block.weights
    if track is None or block.indices is None:
        return [unknown] * block.steps
    rows, positions = track.arrays(), track.positions
    chosen = range(block.steps) if positions is None else positions
    before, changes = _sampled(track.row_before(), block.indices), []
    for position in chosen:
        weights = _sampled(rows[position] if position >= 0 else None, block.indices)
        changes.append(unknown if before is None or weights is None else weights - before)
        before = weights
    return changes


def _sampled(row: np.ndarray | None, indices: np.ndarray) -> np.ndarray | None:
    """Return some entries of a row as float64, NaN where they are not finite."""
    if row is None:
        return None
    values = row[indices].astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)
