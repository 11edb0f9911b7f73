"""Sample the entries of a gradient to record: fixed, seeded, spread evenly over the taps of a kernel."""

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch


def sample_indices(name: str, shape: Sequence[int], entries: int, *, seed: int = 0) -> np.ndarray:
    """Sample the entries of one parameter to record.

    Each tap of a convolution kernel gets equally many entries (up to one), so that taps that are always zero show.
    Within a tap, and in a matrix or vector, each entry is equally likely. The sample depends on the seed, the name and
    the shape alone: runs of one architecture share their entries.

    Parameters
    ----------
    name
        Name of the parameter.
    shape
        Its shape; the axes after the second are the taps.
    entries
        Number of entries to sample.
    seed
        Seed of the sample.

    Returns
    -------
    Sorted flat (C-order) indices, int64; all of them if there are no more than `entries`.

    Examples
    --------
    >>> indices = sample_indices("conv.weight", (8, 4, 3, 3), 18)
    >>> np.bincount(indices % 9)
    array([2, 2, 2, 2, 2, 2, 2, 2, 2])
    """
    size = math.prod(shape)
    if size <= entries:
        return np.arange(size)
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    taps = math.prod(shape[2:])
    channels = size // taps
    share, left_over = divmod(entries, taps)
    favored = np.sort(random.choice(taps, left_over, replace=False))
    if share == 0:
        return np.sort(random.integers(channels, size=left_over) * taps + favored)
    counts = np.full(taps, share)
    counts[favored] += 1
    drawn = [random.choice(channels, count, replace=False) * taps + tap for tap, count in enumerate(counts)]
    return np.sort(np.concatenate(drawn))


def sampled_entries(parameters: Mapping[str, torch.Tensor], entries: int, seed: int) -> dict[str, torch.Tensor]:
    """Return the flat indices of the sampled entries of each parameter that has more, by name."""
    return {
        name: torch.from_numpy(sample_indices(name, parameter.shape, entries, seed=seed))
        for name, parameter in parameters.items()
        if parameter.numel() > entries
    }
