"""Distances by chance against all ways to deal the entries of two samples out anew."""

from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from trajlab.scan.kernels.chance import (
    BRIDGES,
    GRID,
    SUPREMUM,
    bridges,
    expected_js,
    expected_ks,
    expected_wasserstein,
    gap_by_chance,
    skip_jump,
)

N = 6


def deals(pooled, count=N):
    """Yield all ways to deal sorted entries out to two samples."""
    positions = np.arange(len(pooled))
    for chosen in combinations(positions, count):
        first = np.isin(positions, chosen)
        yield pooled[first], pooled[~first]


@pytest.fixture
def pooled():
    return np.sort(np.random.default_rng(0).standard_normal(2 * N))


def test_bridges__begin_and_end_at_0_and_deviate_as_brownian_bridges():
    paths = bridges()
    time = np.sin(np.pi * np.arange(GRID + 1) / (2 * GRID)) ** 2
    assert paths.shape == (GRID + 1, BRIDGES) and not paths[[0, -1]].any()
    variance = (paths.astype(float) ** 2).mean(1)
    np.testing.assert_allclose(variance[16:-16], (time * (1 - time))[16:-16], rtol=0.3)
    assert paths.max(0).mean() == pytest.approx(SUPREMUM, rel=0.07)  # seen at discrete times


def test_expected_wasserstein__is_the_mean_over_all_deals(pooled):
    exact = np.mean([abs(a - b).mean() for a, b in deals(pooled)])
    scatter = sum(gap_by_chance(float(k), 2.0 * N) * gap for k, gap in enumerate(np.diff(pooled), 1))
    assert expected_wasserstein(float(N), float(N), scatter) == pytest.approx(exact, rel=0.03)


def largest_gap(a, b):
    both = np.concatenate([a, b])
    return max(abs((a <= x).mean() - (b <= x).mean()) for x in both)


def test_expected_ks__of_different_values_is_the_mean_over_deals():
    rng, values = np.random.default_rng(1), np.arange(400.0)
    exact = np.mean([largest_gap(*np.split(rng.permutation(values), 2)) for _ in range(150)])
    jumps = 1 / 400, 1 / 400, 0.0
    assert expected_ks(200.0, 200.0, np.ones(GRID + 1, bool), jumps, bridges()) == pytest.approx(exact, rel=0.06)


def test_expected_ks__of_two_values_is_the_mean_deviation_of_one_count():
    """5 zeros and 7 ones: |share of zeros in both halves apart|, exactly."""
    values = np.repeat([0.0, 1.0], [5, 7])
    exact = np.mean([abs((a == 0).mean() - (b == 0).mean()) for a, b in deals(values)])
    seen = np.ones(GRID + 1, bool)
    share = 5 / 12
    skip_jump(0.0, share, seen)
    skip_jump(share, 1.0, seen)
    jumps = 7 / 12, share**2 + (1 - share) ** 2, share
    assert seen.sum() == 3
    assert expected_ks(6.0, 6.0, seen, jumps, bridges()) == pytest.approx(exact, rel=0.03)


@pytest.mark.parametrize(
    ("first", "second"),
    [([2, 2, 2], [2, 2, 2]), ([0, 0, 6], [1, 1, 4]), ([0, 6], [2, 4]), ([6], [6]), ([0, 0, 0, 6], [1, 2, 3, 0])],
)
def test_expected_js__is_the_mean_over_all_deals(first, second):
    bars = np.add(first, second)
    values = np.repeat(np.arange(len(bars)), bars)
    counts = [[np.bincount(part, minlength=len(bars)) for part in deal] for deal in deals(values)]
    exact = np.mean([np.nan_to_num(jensenshannon(*pair, base=2)) for pair in counts])
    actual = expected_js(np.array(first, float), np.array(second, float))
    assert actual == pytest.approx(exact, rel=0.05, abs=1e-12)
