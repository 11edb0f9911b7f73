"""Blocks of a convolution whose entries are a sample, and what errors of theirs are by Cochran's formula."""

import numpy as np

from trajlab.scan.block import Block
from trajlab.scan.track import Track

SHAPE = (20, 5, 3, 3)


def block(rows, index, shape=SHAPE, previous=None, **tracks):
    return Block(Track(list(rows), previous), indices=index, shape=shape, **tracks)


def covariance(values, index, shape=SHAPE, taps=9):
    """Return the covariance matrix of the estimated totals of variables, (variable, entry), by Cochran's formula."""
    entries, total = int(np.prod(shape)) // taps, 0.0
    for tap in range(taps):
        of_tap = values[:, index % taps == tap]
        n = of_tap.shape[1]
        total = total + entries**2 * (1 - n / entries) / n * np.cov(of_tap)
    return total
