"""Error of a root mean square (RMS) whose heavy tail a sample of entries does not show.

Heavy tails hide from a sample what makes up most of the RMS: a Pareto tail fitted to the largest entries adds to the
error that the sample itself shows.
"""

import math

import numpy as np

from trajlab.scan.jit import inner, jit


@jit
def hidden_variance(x, entries):
    """Return how much the variance of the logarithm of a row's RMS is larger with a Pareto tail than in a sample.

    The tail is fitted by Hill's estimator to the largest √n/2 magnitudes and extrapolated to the quantiles of the whole
    row. With the coefficient of variation c of the mean square the variance is ln(1 + c²)/4, that of a log-normal.
    Both are those of a simple random sample.

    Parameters
    ----------
    x
        Finite entries of the sample.
    entries
        Number of finite entries of the whole row.

    References
    ----------
    Hill 1975, Annals of Statistics 3, 1163.
    """
    n = x.size
    k = int(math.sqrt(n) / 2.0)
    if n < 20 or n >= entries:
        return 0.0
    ordered = np.partition(np.abs(x), n - k - 1)
    start = ordered[n - k - 1]
    if start == 0.0:
        return 0.0
    second = 0.0
    fourth = 0.0
    for i in range(n - k):
        square = (ordered[i] / start) ** 2
        second += square / n
        fourth += square * square / n
    second_tail = 0.0
    fourth_tail = 0.0
    slope = 0.0
    for i in range(n - k, n):
        square = (ordered[i] / start) ** 2
        second_tail += square / n
        fourth_tail += square * square / n
        slope += math.log(ordered[i] / start) / k
    share = (1.0 - n / entries) / n
    of_sample = _log_variance(second + second_tail, fourth + fourth_tail, share)
    top = k * (entries / n)
    second += _power_sum(top, 2.0 * slope) / entries
    fourth += _power_sum(top, 4.0 * slope) / entries
    return max(_log_variance(second, fourth, share) - of_sample, 0.0)


@inner
def _log_variance(second, fourth, share):
    """Return the variance of the logarithm of an RMS by moments of the entries."""
    return math.log1p(max(fourth / (second * second) - 1.0, 0.0) * share) / 4.0


@inner
def _power_sum(top, slope):
    """Return Σ (top/(j − ½))^slope over j = 1 to top: the first terms one by one, the others as an integral."""
    few = min(16, int(top))
    total = 0.0
    for j in range(few):
        total += (top / (j + 0.5)) ** slope
    if top > few:
        if abs(slope - 1.0) < 1e-9:
            total += top * math.log(top / few)
        else:
            total += (top - few * (top / few) ** slope) / (1.0 - slope)
    return total
