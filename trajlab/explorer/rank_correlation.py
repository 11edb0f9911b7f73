"""Rank correlation of a fact of the runs with a result, and its p-value by permutation."""

from typing import NamedTuple

import numpy as np

PERMUTATIONS = 9_999


class RankCorrelation(NamedTuple):
    """Spearman's rank correlation; NaN if fewer than three runs have both values, or one of them is constant.

    Attributes
    ----------
    rho
        Correlation of the ranks, from -1 to 1.
    p
        Two-sided p-value: twice the share of permutations of the runs, the observed one included, that are as extreme.
    runs
        Number of runs.
    """

    rho: float
    p: float
    runs: int


def rank_correlation(first: np.ndarray, second: np.ndarray, *, seed: int = 0) -> RankCorrelation:
    """Compute Spearman's rank correlation of two numbers of each run, and its p-value by permutation.

    Parameters
    ----------
    first, second
        The numbers, (run); runs with NaN in either are left out.
    seed
        Seed of the permutations, where there are too many to try all.

    Examples
    --------
    >>> rank_correlation(np.arange(4.0), np.array([1.0, 2.0, 4.0, 8.0]))
    RankCorrelation(rho=1.0, p=0.08333333333333333, runs=4)
    """
    from scipy import stats  # slow to import, and not needed for the first view

    both = np.isfinite(first) & np.isfinite(second)
    x, y = stats.rankdata(first[both]), stats.rankdata(second[both])
    runs = int(both.sum())
    if runs < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return RankCorrelation(np.nan, np.nan, runs)
    x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    test = stats.permutation_test(
        (x,),
        lambda permuted, axis=-1: np.round((permuted * y).mean(axis), 12),
        permutation_type="pairings",
        n_resamples=PERMUTATIONS,
        vectorized=True,
        alternative="two-sided",
        rng=np.random.default_rng(seed),
    )
    return RankCorrelation(float(test.statistic), float(test.pvalue), runs)
