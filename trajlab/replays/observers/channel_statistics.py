"""Statistics of channels over the samples of a probe."""

from typing import Any

import numpy as np
from scipy.special import chdtri

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)

STATISTICS = ("mean", "variance", *(f"quantile_{level:g}" for level in QUANTILES))
"""What is kept over the samples."""

LEVEL = 0.95
"""Channels that are alike vary less than `chance_variation` says in this share of cases."""


SHUFFLES = 19
"""Shuffles whose largest value one case of 20 exceeds under chance."""


def chance_variation(values: np.ndarray) -> float:
    """Return how much identical channels vary by chance: the quantile `LEVEL` of the coefficient of variation.

    It is that over the channels of the mean over the samples, if the channels of each sample were shuffled: what all
    channels of a sample have in common, such as its loss, stays. Each v_s is the variance over the channels in a sample
    of S; the variance over C channels of the shuffled means has then the mean Σ v_s / S² and the variance
    2 Σ_{s≠t} v_s v_t / ((C − 1) S⁴), and is taken for a multiple of χ² with both.

    Parameters
    ----------
    values
        (sample, channel); samples with a value that is not finite are left out.

    Returns
    -------
    float
        NaN where shuffling changes nothing, as there is a single channel, or a single sample in which they differ.

    Examples
    --------
    >>> losses, channels = np.array([[1.0], [5.0], [20.0]]), np.array([0.9, 0.95, 1.05, 1.1])
    >>> chance_variation(losses * np.ones(4)), round(chance_variation(losses * channels), 3)
    (0.0, 0.077)
    """
    values = values[np.isfinite(values).all(1)].astype(np.float64)
    if values.shape[1] < 2 or len(values) < 2 or not values.any():
        return np.nan
    size = values.mean()
    spread = (values / size).var(1)
    total, pairs = spread.sum(), spread.sum() ** 2 - (spread**2).sum()
    if not total:
        return 0.0
    if pairs <= 1e-12 * total**2:
        return np.nan
    freedom = (values.shape[1] - 1) * total**2 / pairs
    return float(np.sqrt(total * chdtri(freedom, 1 - LEVEL) / freedom) / len(values))


def chance_variation_of_variance(values: np.ndarray) -> float:
    """Return how much the variances over the samples of identical channels vary: a bound that one case of 20 exceeds.

    It is the largest coefficient of variation over the channels of the variance over the samples, of `SHUFFLES` times
    that the channels of each sample are shuffled, from a fixed seed.

    Parameters
    ----------
    values
        (sample, channel); samples with a value that is not finite are left out.

    Returns
    -------
    float
        NaN for a single sample or channel, and where no channel varies.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> 0.1 < chance_variation_of_variance(rng.standard_normal((100, 40))) < 0.25
    True
    """
    values = values[np.isfinite(values).all(1)].astype(np.float64)
    if min(values.shape) < 2:
        return np.nan
    rng = np.random.default_rng(0)
    variances = np.stack([rng.permuted(values, axis=1).var(0) for _ in range(SHUFFLES)])
    mean = variances.mean(1)
    return float((variances.std(1) / mean).max()) if mean.all() else np.nan


def statistics_of(values: np.ndarray) -> np.ndarray:
    """Return `STATISTICS` of each column, (statistic, column), over the rows that are finite."""
    values = values.astype(np.float64)
    is_finite = np.isfinite(values)
    if is_finite.all() and len(values):
        return np.stack([values.mean(0), values.var(0), *np.quantile(values, QUANTILES, axis=0)])
    columns: list[Any] = [statistics_of(column[fine][:, None])[:, 0] if fine.any() else np.full(len(STATISTICS), np.nan)
                          for column, fine in zip(values.T, is_finite.T, strict=True)]  # fmt: skip
    return np.stack(columns, axis=1) if columns else np.full((len(STATISTICS), 0), np.nan)
