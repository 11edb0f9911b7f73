"""Population stability index of a row over the deciles of another, and the one to be expected by chance.

A bin ends where a decile of the reference does. If many entries are equal there, the bin ends at their value in any
sample of the distribution, and chance is how the entries in the bin, of both rows together, are dealt out to the two.
Otherwise the bin holds a tenth of any reference, and chance is how far its ends lie apart.
"""

import math

import numpy as np

from trajlab.scan.jit import inner
from trajlab.scan.kernels.chance import first_share

BINS = 11
"""Rows of the table of bins: ten, and what lies beyond the last value of the reference, if many have that value."""

_FEW = 50
"""Entries of a bin up to which its term by chance is summed over all counts."""

_DEALT = 512
"""Entries of two rows up to which some that are equal have them dealt out anew."""

_DEALS = 1 << 16
"""Entries that are dealt out in all."""


@inner
def _term(a, n, b, m):
    """Return what a bin of a of n and b of m entries adds to the index; no entry counts as half of one."""
    p = max(a, 0.5) / n
    q = max(b, 0.5) / m
    return 0.0 if p == q else (p - q) * math.log(p / q)


@inner
def _is_atom(equal, decile, m):
    """Return whether enough of m entries equal a decile for it to be the same value in other samples."""
    share = decile / 10.0
    return equal > 1.0 + 2.0 * math.sqrt(m * share * (1.0 - share))


@inner
def _add_bin(a, b, n, m, ends_at_atoms, decile, blocks):
    """Write a bin to the table, and return its term."""
    blocks[decile - 1, 0] = b
    blocks[decile - 1, 1] = a + b if ends_at_atoms else 0.0
    return _term(a, n, b, m)


@inner
def psi_of_sorted(a, b, blocks):
    """Compute the index of `a` over the deciles of `b`, of two sorted rows.

    Parameters
    ----------
    blocks
        Gets the entries of `b` in each bin, and those of both rows in bins whose two ends are at values that many
        entries have, else 0; (`BINS`, 2).
    """
    n = np.float64(a.size)
    m = np.float64(b.size)
    psi = 0.0
    i = 0
    j = 0
    blocks[:] = 0.0
    atom_before = True
    for decile in range(1, 11):
        end = b.size
        if decile < 10:
            end = np.searchsorted(b, b[(decile * b.size + 9) // 10 - 1], "right")
        if end == j:
            continue
        if decile < 10 and end == b.size:
            if _is_atom(end - np.searchsorted(b, b[end - 1], "left"), decile, m):
                blocks[BINS - 1, 1] = a.size - np.searchsorted(a, b[end - 1], "right")
            continue
        after = a.size
        atom = True
        if decile < 10:
            after = np.searchsorted(a, b[end - 1], "right")
            atom = _is_atom(end - np.searchsorted(b, b[end - 1], "left"), decile, m)
        psi += _add_bin(np.float64(after - i), np.float64(end - j), n, m, atom_before and atom, decile, blocks)
        atom_before = atom
        i = after
        j = end
    return psi


@inner
def _upto(bins, x):
    """Count the entries of a row up to x."""
    low, high, upto = bins
    i = max(np.searchsorted(low, x, "right") - 1, 0)
    if x < low[i]:
        return np.float64(upto[i])
    if x >= high[i]:
        return np.float64(upto[i + 1])
    return upto[i] + (upto[i + 1] - upto[i]) * ((x - low[i]) / (high[i] - low[i]))


@inner
def psi_of_bins(a, b, blocks):
    """Compute the index of `a` over the deciles of `b`, of two rows as `Bins`; see `psi_of_sorted`."""
    n = np.float64(a[2][-1])
    m = b[2][-1]
    psi = 0.0
    before = 0.0
    j = 0
    blocks[:] = 0.0
    atom_before = True
    for decile in range(1, 11):
        end = b[0].size if decile == 10 else np.searchsorted(b[2], (decile * m + 9) // 10)
        if end == j:
            continue
        if decile < 10 and end == b[0].size:
            x = b[1][end - 1]
            if b[0][end - 1] == x and _is_atom(b[2][end] - b[2][end - 1], decile, m):
                blocks[BINS - 1, 1] = n - _upto(a, x)
            continue
        after = n
        atom = True
        if decile < 10:
            x = b[1][end - 1]
            after = _upto(a, x)
            atom = b[0][end - 1] == x and _is_atom(b[2][end] - b[2][end - 1], decile, m)
        of_b = np.float64(b[2][end] - b[2][j])
        psi += _add_bin(after - before, of_b, n, np.float64(m), atom_before and atom, decile, blocks)
        atom_before = atom
        before = after
        j = end
    return psi


@inner
def _of_few_dealt(together, n, m):
    """Return the mean term of a bin of a few entries of both rows that are dealt out anew.

    A bin without an entry of the reference would be no bin of its own.
    """
    small = min(n, m)
    large = max(n, m)
    k = max(0.0, together - large)
    p = first_share(k, together, small, large)
    total = 0.0
    while k <= min(together, small):
        a, b = (k, together - k) if n <= m else (together - k, k)
        if b > 0.0:
            total += p * _term(a, n, b, m)
        p *= (small - k) * (together - k) / ((k + 1.0) * max(large - together + k + 1.0, 1.0))
        k += 1.0
    return total


@inner
def _of_few_designed(b, n, m, is_last):
    """Return the mean term of a bin that holds a few entries of any reference.

    The share of the distribution between two order statistics is of a beta distribution, the number of the other n
    entries there beta-binomial.
    """
    alpha = b + is_last
    beta = m + 1.0 - alpha
    p = math.exp(math.lgamma(beta + n) + math.lgamma(m + 1.0) - math.lgamma(m + 1.0 + n) - math.lgamma(beta))
    total = 0.0
    a = 0.0
    while a <= n and (p > 1e-9 or a * m < 2.0 * b * n):
        total += p * _term(a, n, b, m)
        p *= (n - a) * (alpha + a) / ((a + 1.0) * max(beta + n - a - 1.0, 1.0))
        a += 1.0
    return total


@inner
def expected_psi(blocks, n, m):
    """Return the mean index over bins as `psi_of_sorted` writes them down.

    Parameters
    ----------
    blocks
        The bins, (`BINS`, 2).
    n, m
        Entries of the row and of the reference.
    """
    held = 0
    for j in range(blocks.shape[0]):
        held += (blocks[j, 0] > 0) | (blocks[j, 1] > 0)
    if held < 2:
        return 0.0
    total = 0.0
    for j in range(blocks.shape[0]):
        b = blocks[j, 0]
        together = blocks[j, 1]
        if together > 0.0:
            if together * min(n, m) / (n + m) <= _FEW:
                total += _of_few_dealt(together, n, m)
            else:
                total += (1.0 - together / (n + m)) * (1.0 / n + 1.0 / m)
        elif b > _FEW or (b > 0.0 and n > 16.0 * m):
            total += (1.0 - b / m) * (1.0 / n + 1.0 / m) * (1.0 + 1.25 / b)
        elif b > 0.0:
            total += _of_few_designed(b, n, m, j == 9)
    return total


@inner
def no_deals():
    """Return room for the permutations that `psi_of_deals` draws, which rows of as many entries share.

    Returns
    -------
    dealt, second
        What `_deal` writes, one permutation after the other.
    sizes
        Entries of both samples, and of the first, that the permutations are of; (2).
    logs
        Logarithms of all counts, (count); no entry counts as half of one.
    """
    logs = np.empty(_DEALT + 1)
    for k in range(logs.size):
        logs[k] = math.log(max(np.float64(k), 0.5))
    return np.empty(2 * _DEALS, np.int16), np.empty(2 * _DEALS, np.int16), np.zeros(2, np.int64), logs


@inner
def psi_of_deals(a, b, deals):
    """Return the mean index of two small rows with ties over random permutations of their pooled entries.

    Parameters
    ----------
    deals
        `no_deals`, or what an earlier call left there.

    Returns
    -------
    float
        NaN if there are no ties, or too many entries.
    """
    n = a.size
    total = n + b.size
    if total > _DEALT:
        return np.nan
    pooled = np.sort(np.concatenate((a, b)))
    upto = np.empty(total, np.int64)  # the entries up to the value of each
    distinct = 0
    end = total
    for i in range(total - 1, -1, -1):
        if i == total - 1 or pooled[i] != pooled[i + 1]:
            end = i + 1
            distinct += 1
        upto[i] = end
    if distinct == total:
        return np.nan
    dealt, second, sizes, logs = deals
    number = _DEALS // total
    width = total + 1
    if sizes[0] != total or sizes[1] != n:
        state = np.uint64(88172645463325252)
        for k in range(number):
            each = slice(k * width, (k + 1) * width)
            state = _deal(total, n, state, dealt[each], second[each])
        sizes[0] = total
        sizes[1] = n
    psi = 0.0
    for k in range(number):
        each = slice(k * width, (k + 1) * width)
        psi += _psi_of_deal(n, b.size, upto, dealt[each], second[each], logs)
    return psi / number


@inner
def _deal(total, n, state, dealt, second):
    """Deal n of some entries to one sample, and the others to another.

    Parameters
    ----------
    total, n
        Number of all entries, and of those of the first sample.
    state
        State of the random numbers; the new one is returned.
    dealt
        Gets the entries of the first sample before each entry, and all of them, (total + 1).
    second
        Gets the positions of the entries of the second sample, (total - n + 1).
    """
    one = np.uint64(1) << np.uint64(53)
    left = np.uint64(n) * one
    i = 0
    for k in range(total):
        state ^= state << np.uint64(13)
        state ^= state >> np.uint64(7)
        state ^= state << np.uint64(17)  # Marsaglia 2003, Xorshift RNGs
        is_first = (state >> np.uint64(11)) * np.uint64(total - k) < left
        dealt[k] = i
        second[k - i] = k
        i += is_first
        left -= one if is_first else np.uint64(0)
    dealt[total] = i
    return state


@inner
def _psi_of_deal(n, m, upto, dealt, second, logs):
    """Return the index of a deal; see `psi_of_sorted`."""
    ratio = logs[m] - logs[n]
    psi = 0.0
    i = 0
    j = 0
    for decile in range(1, 11):
        after = n
        end = m
        if decile < 10:
            last = upto[second[(decile * m + 9) // 10 - 1]]
            after = dealt[last]
            end = last - after
        if end == j or (decile < 10 and end == m):
            continue
        a = after - i
        b = end - j
        psi += (max(a, 0.5) / n - max(b, 0.5) / m) * (logs[a] - logs[b] + ratio)
        i = after
        j = end
    return psi
