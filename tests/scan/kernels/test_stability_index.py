import math

import numpy as np
import pytest

from tests.scan.kernels.test_distribution import decile_psi
from trajlab.scan.kernels.stability_index import BINS, _deal, expected_psi, no_deals, psi_of_deals, psi_of_sorted


def psi(a, b):
    blocks = np.full((BINS, 2), np.nan)
    return psi_of_sorted(np.sort(a), np.sort(b), blocks), blocks


def test_psi_of_sorted__by_hand():
    reference = np.arange(20.0)
    value, blocks = psi(np.full(20, 1.0), reference)  # all in the first of ten bins of 2; no entry counts as half
    assert value == pytest.approx((1 - 0.1) * math.log(10) + 9 * (0.1 - 0.025) * math.log(4))
    np.testing.assert_array_equal(blocks[:, 0], [2.0] * 10 + [0.0])
    assert not blocks[:, 1].any()  # no value that many entries have
    assert psi(reference, reference)[0] == 0.0


def test_psi_of_sorted__a_value_of_many_is_one_bin_whose_entries_are_counted_together():
    reference = np.repeat([0.0, 1.0], 50)
    value, blocks = psi(np.repeat([0.0, 1.0], [75, 25]), reference)
    assert value == pytest.approx(0.25 * math.log(1.5) + 0.25 * math.log(2))
    assert blocks[blocks[:, 0] > 0].tolist() == [[50.0, 125.0], [50.0, 75.0]]
    assert blocks[:, 1].sum() == 200


def test_psi_of_sorted__rows_of_random_entries_as_by_numpy(rng):
    a, b = rng.normal(size=333), rng.normal(1.0, 2.0, 217)
    assert psi(a, b)[0] == pytest.approx(decile_psi(a, b), rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(1000, 1000), (400, 100), (60, 40)])
def test_expected_psi__is_the_mean_over_pairs_of_samples(rng, n, m):
    values = [psi(rng.normal(size=n), rng.normal(size=m)) for _ in range(600)]
    mean = np.mean([value for value, _ in values])
    assert expected_psi(values[0][1], float(n), float(m)) == pytest.approx(mean, rel=0.08)


def test_expected_psi__a_single_bin_has_none():
    assert expected_psi(psi(np.zeros(30), np.zeros(30))[1], 30.0, 30.0) == 0.0


def test_psi_of_deals__is_the_mean_over_permutations(rng):
    a, b = rng.integers(0, 4, 40).astype(float), rng.integers(0, 4, 30).astype(float)
    pooled = np.concatenate([a, b])
    shuffled = (rng.permutation(pooled) for _ in range(600))
    mean = np.mean([psi(row[:40], row[40:])[0] for row in shuffled])
    assert psi_of_deals(a, b, no_deals()) == pytest.approx(mean, rel=0.15)


def test_psi_of_deals__unknown_for_many_entries_or_none_that_are_equal():
    assert np.isnan(psi_of_deals(np.arange(10.0), np.arange(10.0) + 0.5, no_deals()))
    assert np.isnan(psi_of_deals(np.zeros(300), np.zeros(300), no_deals()))


@pytest.mark.parametrize(("n", "m", "values"), [(7, 5, 3), (20, 31, 4), (1, 9, 2), (9, 1, 2), (30, 30, 40), (4, 4, 1)])
def test_psi_of_deals__is_the_mean_index_of_the_very_samples_that_are_dealt(rng, n, m, values):
    a, b = rng.integers(0, values, n).astype(np.float32), rng.integers(0, values, m).astype(np.float32)
    pooled, indices = np.sort(np.concatenate([a, b])), []
    state, dealt, second = np.uint64(88172645463325252), np.empty(n + m + 1, np.int64), np.empty(m + 1, np.int64)
    for _ in range((1 << 16) // (n + m)):
        state = np.uint64(_deal(n + m, n, state, dealt, second))
        of_second = second[:m]
        of_first = np.setdiff1d(np.arange(n + m), of_second)
        assert dealt[-1] == len(of_first) == n
        indices.append(psi_of_sorted(pooled[of_first], pooled[of_second], np.empty((BINS, 2))))
    assert psi_of_deals(a, b, no_deals()) == pytest.approx(np.mean(indices), rel=1e-12)
