"""Distances to be expected between two independent samples of one distribution.

All take the entries of both samples together as given and dealt out anew to the two: n to one, m to the other. What
depends on order only, as the Kolmogorov–Smirnov distance, is then a hypergeometric walk, close to a Brownian bridge
(Smirnov 1948, Annals of Mathematical Statistics 19).
"""

import math
from functools import cache

import numpy as np

from trajlab.scan.jit import inner

GRID = 256
"""Intervals of time of the bridges, denser at both ends."""

BRIDGES = 384
"""Number of bridges whose maxima are averaged: to 1.5 %."""

LARGE_JUMP = 1 / 64
"""Share of the entries at one value from which on the mean of a maximum is averaged over bridges, not a formula."""

SUPREMUM = math.sqrt(math.pi / 2) * math.log(2)
"""Mean of the largest deviation of a Brownian bridge from 0."""

_TAIL = 8

MEAN_GAP = np.array([1.0] + [k * math.comb(k - 1, (k - 1) // 2) / 2.0 ** (k - 1) / math.sqrt(2 * k / math.pi)
                             for k in range(1, _TAIL + 1)])  # fmt: skip
"""Mean of how far the shares of both samples among the k outermost entries are apart, relative to a normal deviate of
that variance, (k): in heavy tails the distance by chance is that of few entries."""

_FEW = 8
"""Entries of a bar up to which its divergence by chance is summed over all ways to deal them out."""


@cache
def bridges() -> np.ndarray:
    """Return how far Brownian bridges are from 0 at the times sin²(πj / 2 GRID), (GRID + 1, BRIDGES) float32."""
    time = np.sin(np.pi * np.arange(GRID + 1) / (2 * GRID)) ** 2
    steps = np.random.default_rng(0).standard_normal((GRID, BRIDGES)) * np.sqrt(np.diff(time))[:, None]
    walk = np.concatenate([np.zeros((1, BRIDGES)), np.cumsum(steps, axis=0)])
    return np.abs(walk - time[:, None] * walk[-1]).astype(np.float32)


@inner
def gap_by_chance(entries, total):
    """Return sqrt(F(1 − F)) after some of all entries, corrected where few lie on one side."""
    share = entries / total
    few = min(entries, total - entries)
    mean = math.sqrt(share * (1.0 - share)) if few > 0.0 else 0.0
    if few < _TAIL + 0.5:
        mean *= MEAN_GAP[np.int64(few + 0.5)]
    return mean


@inner
def skip_jump(before, after, seen):
    """Mark the times of the bridges within a jump of the common distribution function as not seen, (GRID + 1)."""
    first = round(2 * GRID / math.pi * math.asin(math.sqrt(min(before, 1.0))))
    last = round(2 * GRID / math.pi * math.asin(math.sqrt(min(after, 1.0))))
    for j in range(first + 1, last):
        seen[j] = False


@inner
def expected_ks(n, m, seen, jumps, paths):
    """Return the mean of the largest gap between two distribution functions.

    Between values that hold a share g_i of all entries each, at most `LARGE_JUMP`, the bridge is seen at discrete
    times, and its maximum falls by 0.5826 sqrt(Σ g_i²) (Siegmund 1985, Sequential Analysis, chapter 10). With larger
    shares it is averaged over bridges.

    Parameters
    ----------
    n, m
        Entries of both.
    seen
        Which times of the bridges the common distribution function takes, (GRID + 1).
    jumps
        The largest g_i, Σ g_i² of those that are known, and the share before the last g_i that is large.
    paths
        `bridges()`.
    """
    scale = math.sqrt((1.0 / n + 1.0 / m) * (n + m) / max(n + m - 1.0, 1.0))
    largest, squares, share = jumps
    if largest <= LARGE_JUMP:
        return (SUPREMUM - 0.5826 * math.sqrt(max(squares, 1.0 / (n + m)))) * scale
    times = np.int64(0)
    for j in range(seen.size):
        times += seen[j]
    if times == 3 and share > 0.0:  # two values
        return math.sqrt(2.0 / math.pi) * gap_by_chance(share * (n + m), n + m) * scale
    far = np.zeros(paths.shape[1], np.float32)
    for j in range(1, seen.size - 1):
        if seen[j]:
            path = paths[j]
            for k in range(path.size):
                far[k] = path[k] if path[k] > far[k] else far[k]
    total = np.float64(0.0)
    for k in range(far.size):
        total += far[k]
    return total / far.size * scale


@inner
def expected_wasserstein(n, m, scatter):
    """Return the mean area between two distribution functions from ∫ sqrt(F(1 − F)), see `gap_by_chance`."""
    return math.sqrt(2.0 / math.pi * (1.0 / n + 1.0 / m) * (n + m) / max(n + m - 1.0, 1.0)) * scatter


@inner
def _log_binomial(n, k):
    return math.lgamma(n + 1.0) - math.lgamma(k + 1.0) - math.lgamma(n - k + 1.0)


@inner
def divergence(p, q):
    """Return what one bar with shares p and q adds to the Jensen–Shannon divergence in base 2."""
    total = 0.0
    if p > 0.0:
        total += 0.5 * p * np.log2(2.0 * p / (p + q))
    if q > 0.0:
        total += 0.5 * q * np.log2(2.0 * q / (p + q))
    return total


@inner
def first_share(a, t, n, m):
    """Return the chance that a of t entries are of the first sample, for the least possible a."""
    if a > 0.0:
        return math.exp(_log_binomial(n, a) + _log_binomial(m, t - a) - _log_binomial(n + m, t))
    p = 1.0
    for i in range(t):
        p *= (m - i) / (n + m - i)
    return p


@inner
def _divergence_by_chance(t, n, m):
    """Return the mean and the variance of what a bar of t entries of both samples adds to the divergence."""
    total = n + m
    if t <= _FEW:
        a = max(0.0, t - m)
        p = first_share(a, t, n, m)
        mean = 0.0
        square = 0.0
        while a <= min(t, n):
            term = divergence(a / n, (t - a) / m)
            mean += p * term
            square += p * term * term
            p *= (n - a) * (t - a) / ((a + 1.0) * max(m - t + a + 1.0, 1.0))
            a += 1.0
        return mean, max(square - mean * mean, 0.0)
    variance = t * (n / total) * (m / total) * (total - t) / (total - 1.0) * (1.0 / n + 1.0 / m) ** 2
    u2 = variance * total * total / (4.0 * t * t)  # of (p − q) / (p + q)
    mean = variance * total / (8.0 * math.log(2.0) * t) * (1.0 + 0.5 * u2 + u2 * u2)
    return mean, 2.0 * mean * mean


@inner
def _distance_of_two_bars(t, n, m):
    """Return the mean distance where t entries, a few, lie in one bar and all others in another."""
    a = max(0.0, t - m)
    p = first_share(a, t, n, m)
    mean = 0.0
    while a <= min(t, n):
        both = divergence(a / n, (t - a) / m) + divergence((n - a) / n, (m - t + a) / m)
        mean += p * math.sqrt(max(both, 0.0))
        p *= (n - a) * (t - a) / ((a + 1.0) * max(m - t + a + 1.0, 1.0))
        a += 1.0
    return mean


@inner
def expected_js(a, b):
    """Return the mean Jensen–Shannon distance of two histograms over the same bars.

    The root of the divergence has a smaller mean than the root of its mean: as for χ² of as many degrees of freedom as
    its relative variance tells.
    """
    n = a.sum()
    m = b.sum()
    total = 0.0
    variance = 0.0
    held = 0
    least = n + m
    for k in range(a.size):
        t = a[k] + b[k]
        if t > 0.0:
            held += 1
            least = min(least, t)
            mean, spread = _divergence_by_chance(t, n, m)
            total += mean
            variance += spread
    if held < 2 or total <= 0.0:
        return 0.0
    if held == 2 and least <= 2 * _FEW:
        return _distance_of_two_bars(least, n, m)
    variance *= held / (held - 1.0)  # the counts of all bars add up to n and m
    degrees = 2.0 * total * total / max(variance, 1e-4 * total * total)
    return math.sqrt(total * 2.0 / degrees) * math.exp(math.lgamma((degrees + 1.0) / 2.0) - math.lgamma(degrees / 2.0))
