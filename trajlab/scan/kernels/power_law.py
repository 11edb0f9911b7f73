"""Statistics of singular values: ranks, Marchenko–Pastur edges, spikes, and the power law of the tail."""

import math

import numpy as np

from trajlab.scan.jit import inner, jit

FACTS = (
    "spectral_norm", "frobenius_norm", "stable_rank", "effective_rank", "mp_lower", "mp_upper", "mp_threshold",
    "mp_spikes", "alpha", "alpha_sigma", "xmin", "ks",
)  # fmt: skip
"""Columns of `facts`."""

TRACY_WIDOM = 2.0234
"""The 99 % quantile of the Tracy–Widom law of order 1 (Bejan 2005)."""


@jit
def power_law(values):
    """Fit a power law to the tail of values.

    The exponent is the maximum likelihood estimate above xmin, and xmin that value, the largest aside, for which the
    tail is closest to its fit in the Kolmogorov–Smirnov distance (Clauset et al. 2009, arXiv:0706.1062, eq. 3.1). As in
    Clauset's plfit, powerlaw and WeightWatcher, xmin minimizes the distance just below the values; the distance that is
    returned is that on both sides of them.

    Parameters
    ----------
    values
        Positive values, ascending.

    Returns
    -------
    alpha, xmin, distance, count
        Exponent, start of the tail, two-sided Kolmogorov–Smirnov distance max(D⁺, D⁻), and number of values in the
        tail; NaN if there are fewer than two values. Where all values are the same to 12 digits alpha is Inf.
    """
    n = values.size
    best, start, exponent = np.inf, 0, np.nan
    logs = np.log(values)
    sums = np.zeros(n + 1)
    for i in range(n - 1, -1, -1):
        sums[i] = sums[i + 1] + logs[i]
    for i in range(n - 1):
        count = n - i
        spread = sums[i] - count * logs[i]
        flat = spread <= 1e-12 * count
        slope = 0.0 if flat else count / spread  # alpha - 1
        distance = (count - 1.0) / count if flat else 0.0
        for j in range(i, n):
            if flat or distance >= best:
                break
            distance = max(distance, abs(1.0 - math.exp(slope * (logs[i] - logs[j])) - (j - i) / count))
        if distance < best:
            best, start, exponent = distance, i, np.inf if flat else 1.0 + slope
    if n < 2:
        return np.nan, np.nan, np.nan, 0
    return exponent, values[start], _two_sided(logs, start, exponent, best), n - start


@inner
def _two_sided(logs, start, exponent, below):
    """Return the distance of a tail from its fit on both sides of the values, from that just below them."""
    if exponent == np.inf:
        return below
    count = logs.size - start
    distance = below
    for j in range(start, logs.size):
        above = (j - start + 1.0) / count - (1.0 - math.exp((exponent - 1.0) * (logs[start] - logs[j])))
        distance = max(distance, above)
    return distance


@inner
def _noise(s, rest, large, small):
    """Deviation of the entries of the noise in a matrix, what its singular values hardly exceed, and how many do.

    `rest` is the sum of the squares of those that `s` lacks.
    """
    tail = np.full(s.size + 1, rest)
    for i in range(s.size - 1, -1, -1):
        tail[i] = tail[i + 1] + s[i] * s[i]
    root = math.sqrt(large - 0.5) + math.sqrt(small - 0.5)
    width = root * (1.0 / math.sqrt(large - 0.5) + 1.0 / math.sqrt(small - 0.5)) ** (1.0 / 3.0)
    edge = math.sqrt(root * root + TRACY_WIDOM * width)
    spikes = 0
    while True:
        deviation = math.sqrt(tail[spikes] / ((large - spikes) * (small - spikes)))
        more = spikes
        while more < s.size and s[more] > deviation * edge:
            more += 1
        if more == spikes:
            return deviation, deviation * edge, spikes
        spikes = more


@inner
def _effective_rank(s):
    total = 0.0
    for i in range(s.size):
        total += s[i]
    entropy = 0.0
    for i in range(s.size):
        if s[i] > 0.0:
            share = s[i] / total
            entropy -= share * math.log(share)
    return math.exp(entropy) if total > 0.0 else np.nan


@jit
def effective_rank(s):
    """Return the effective rank exp(−Σ p ln p), p = s/Σs, of singular values; NaN if all are 0.

    References
    ----------
    Roy and Vetterli 2007, The effective rank: a measure of effective dimensionality.
    """
    return _effective_rank(s)


@jit
def facts(s, rows, columns, noise, out):
    """Fill in `FACTS` of a matrix.

    Singular values that rounding alone may have made count as zero: those of the decomposition in float64, at most
    s₁·n·2⁻⁵², and those of the entries when they were stored, see `rounding`.

    Parameters
    ----------
    s
        Its singular values, descending; at least one.
    rows, columns
        Its shape.
    noise
        Frobenius norm that the rounding of its entries has at most.
    out
        (`FACTS`), written to.
    """
    _fill(s, 0.0, rows, columns, noise, out)


@jit
def leading_facts(s, rest, rows, columns, noise, out):
    """Fill in those of `FACTS` that the largest singular values and the norm of a matrix say; NaN for all others.

    The effective rank and the tail need all singular values. Where all of `s` are beyond noise, more may be, and
    `mp_spikes` and the edges are NaN, too.

    Parameters
    ----------
    s
        Its largest singular values, descending; at least one.
    rest
        Sum of the squares of all others.
    rows, columns, noise, out
        As in `facts`.
    """
    _fill(s, rest, rows, columns, noise, out)
    out[3] = np.nan
    out[8:] = np.nan
    if out[7] == s.size:
        out[4:8] = np.nan


@inner
def _fill(s, rest, rows, columns, noise, out):
    large, small = max(rows, columns), min(rows, columns)
    exponent = math.frexp(s[0])[1] - 1
    unit = math.ldexp(1.0, exponent)
    s = np.array([math.ldexp(value, -exponent) for value in s])  # exact, and squares stay in the range of float64
    rest = math.ldexp(rest, -2 * exponent)
    squares = rest
    rank = 0
    for i in range(s.size):
        squares += s[i] * s[i]
    spread = math.ldexp(noise, -exponent) * (1.0 / math.sqrt(large) + 1.0 / math.sqrt(small))
    rounding = max(s[0] * large * 2.220446049250313e-16, spread)
    for i in range(s.size):
        rank += s[i] > rounding
    deviation, threshold, spikes = _noise(s[:rank], rest, large, small)
    alpha, xmin, distance, count = power_law(s[:rank][::-1] ** 2)
    out[0] = s[0] * unit
    out[1] = math.sqrt(squares) * unit
    out[2] = squares / (s[0] * s[0]) if s[0] > 0.0 else np.nan
    out[3] = _effective_rank(s)
    out[4] = deviation * (math.sqrt(large) - math.sqrt(small)) * unit
    out[5] = deviation * (math.sqrt(large) + math.sqrt(small)) * unit
    out[6] = threshold * unit
    out[7] = spikes
    out[8] = alpha
    out[9] = (alpha - 1.0) / math.sqrt(count) if count else np.nan
    out[10] = xmin * unit * unit
    out[11] = distance


def rounding(norm: float, epsilon: float) -> float:
    """Return the Frobenius norm that the rounding of the entries of a matrix has at most.

    Rounding adds to each entry noise of at most epsilon/√12 of the root mean square; four times epsilon leaves room for
    entries that are rounded products.

    Parameters
    ----------
    norm
        Frobenius norm of what was stored.
    epsilon
        Spacing at 1 of the floats that it was stored in.
    """
    return 4.0 * epsilon * norm
