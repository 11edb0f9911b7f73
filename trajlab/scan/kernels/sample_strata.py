"""Covariances of estimated totals of all entries, from a sample that is spread evenly over the taps of a kernel."""

import math
from typing import NamedTuple

import numpy as np

from trajlab.scan.block import Block
from trajlab.scan.jit import inner


class Strata(NamedTuple):
    """A stratified random sample of the entries of a parameter, without replacement.

    Attributes
    ----------
    order
        Positions in the sample, sorted by stratum, (entry).
    bounds
        Where each stratum begins and ends in `order`, (stratum + 1).
    scale
        N²(1 − n/N)/(n(n − 1)) of each stratum, (stratum): N entries, n of them sampled. NaN if n = 1 < N.
    between
        Factor of the covariance of the means of strata: which of them got one entry more is random.
    """

    order: np.ndarray
    bounds: np.ndarray
    scale: np.ndarray
    between: float


def strata_of(block: Block) -> Strata:
    """Return the strata of the entries of a block: the taps of a convolution if each got equally many, up to one.

    Any other sample is taken as a simple random one, and so is one with fewer than two entries of a tap: a single entry
    shows no variance. All factors are 0 where all entries were recorded.
    """
    entries = math.prod(block.shape)
    taps = math.prod(block.shape[2:]) if len(block.shape) > 2 else 1
    tap = np.zeros(block.size, np.int64) if block.indices is None else block.indices % max(taps, 1)
    counts = np.bincount(tap, minlength=taps)
    if block.indices is None or counts.min() < 2 or counts.max() - counts.min() > 1:
        tap, counts, taps = np.zeros(block.size, np.int64), np.array([block.size]), 1
    of_stratum, favored = entries / taps, block.size % taps
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = of_stratum * (of_stratum - counts) / (counts * (counts - 1.0))
    scale = np.where(counts == of_stratum, 0.0, np.where(counts > 1, scale, np.nan))
    between = (entries / block.size) ** 2 * favored * (1 - favored / taps) / (taps - 1) if favored else 0.0
    return Strata(np.argsort(tap, kind="stable"), np.append(0, np.cumsum(counts)), scale, between)


@inner
def add_products(x, products):
    """Add the products of all pairs of one entry's variables, (variable), to `products`, (variable, variable)."""
    for a in range(x.size):
        for b in range(a + 1):
            products[a, b] += x[a] * x[b]


@inner
def write_pairs(covariance, out):
    """Write each pair of a covariance, (variable, variable), once to `out`, in the order of combinations."""
    at = 0
    for a in range(covariance.shape[0]):
        for b in range(a, covariance.shape[0]):
            out[at] = covariance[a, b]
            at += 1


@inner
def total_covariance(sums, products, bounds, scale, between, out):
    """Write the covariances of the estimated totals of variables to `out`, (variable, variable).

    The covariance is Σ over strata of N²(1 − n/N)/(n(n − 1)) (Σab − ΣaΣb/n) (Cochran 1977, Sampling Techniques,
    theorem 5.3), plus the covariance that comes from the choice of the strata with one entry more.

    Parameters
    ----------
    sums
        Sums over the sampled entries of each stratum, (stratum, variable).
    products
        Sums of products, (stratum, variable, variable); those with the second variable not after the first.
    bounds, scale, between
        See `Strata`.
    """
    strata, variables = sums.shape
    for a in range(variables):
        for b in range(a + 1):
            total = 0.0
            mean_a = 0.0
            mean_b = 0.0
            mean_ab = 0.0
            for t in range(strata):
                n = bounds[t + 1] - bounds[t]
                total += scale[t] * (products[t, a, b] - sums[t, a] * sums[t, b] / n)
                mean_a += sums[t, a] / n
                mean_b += sums[t, b] / n
                mean_ab += sums[t, a] / n * (sums[t, b] / n)
            out[a, b] = total + between * (mean_ab - mean_a * mean_b / strata)
            out[b, a] = out[a, b]
