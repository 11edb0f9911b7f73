from itertools import combinations

import numpy as np
import pytest

from trajlab.scan.kernels.gram import Components
from trajlab.scan.step_errors import distance_error, distance_variance, share_errors, share_variance


def components(rows):
    """Principal components of rows by numpy, deviations from the mean."""
    rows = rows - rows.mean(0)
    u, s, _ = np.linalg.svd(rows, full_matrices=False)
    return Components(
        s**2 / (s**2).sum(), u * s, np.full((len(rows), 1), np.nan), np.zeros(len(rows)), np.empty((len(rows), 2))
    )


def test_distance_variance__is_on_average_that_over_all_samples(rng):
    whole = rng.normal(size=(3, 7))
    anchors = np.array([0, 2])
    samples = [whole[:, list(columns)] for columns in combinations(range(7), 4)]
    totals = [[((sample - sample[at]) ** 2).sum(1) * 7 / 4 for at in anchors] for sample in samples]
    mean = np.mean([distance_variance(sample, 3, anchors, 7) for sample in samples], axis=0)
    np.testing.assert_allclose(mean, np.var(totals, axis=0).T, atol=1e-12)


def test_distance_variance__by_hand():
    # squares 1 and 9 of 2 of 10 entries: 10² · (1 − 0.2) · 32 / 2
    sample = np.array([[0.0, 0.0, 0.0], [1.0, 3.0, np.nan]])[:, :2]
    assert distance_variance(sample, 2, np.array([0]), 10).ravel() == pytest.approx([0.0, 1280.0])
    assert distance_variance(None, 2, np.array([0]), 10).tolist() == [[0.0], [0.0]]  # all entries are there
    assert np.isnan(distance_variance(sample[:, :1], 2, np.array([0]), 10)).all()  # one entry has no variance


def test_distance_variance__an_entry_that_is_not_finite_counts_as_unmoved():
    broken = np.array([[0.0, 0.0, 5.0], [1.0, 3.0, np.nan]])
    counted = np.array([[0.0, 0.0, 0.0], [1.0, 3.0, 0.0]])
    variances = [distance_variance(sample, 2, np.array([0]), 10) for sample in (broken, counted)]
    np.testing.assert_array_equal(*variances)


def test_distance_error__of_a_root():
    distance = np.array([[2.0, 0.0, np.nan, 3.0]])
    whole = Components(np.ones(1), np.ones((1, 1)), distance, np.zeros(1), np.empty((1, 2)))
    error = distance_error(whole, np.array([[16.0, 0.0, 4.0, np.nan]]))
    np.testing.assert_array_equal(error, [[1.0, 0.0, np.nan, np.nan]])  # √16 / (2 · 2)


def test_share_variance__is_that_of_ratios_over_samples(rng):
    steps = np.linspace(-1, 1, 6)[:, None]
    whole = steps * rng.normal(size=4000) + steps**2 * rng.normal(size=4000) + 0.1 * rng.normal(size=(6, 4000))
    samples = [whole[:, rng.choice(4000, 400, replace=False)] for _ in range(400)]
    ratios = np.array([components(sample).shares[:2] for sample in samples])
    told = [share_variance(components(s), s, "mean", np.arange(6), 4000)[:2] for s in samples[:50]]
    # the variance told is of a tensor whose products are totals of the whole: ratios do not depend on their scale
    scale = (400 / 4000) ** 2
    np.testing.assert_allclose(np.mean(told, axis=0) * scale, ratios.var(0), rtol=0.3)


def test_share_variance__nothing_to_err_about():
    whole = components(np.arange(6.0).reshape(3, 2) ** 2)
    assert not share_variance(whole, None, "mean", np.arange(3), 10).any()
    one = share_variance(whole, np.ones((3, 2)), "mean", np.arange(1), 10)
    assert one.shape == whole.shares.shape and not one.any()


def test_share_errors__add_the_variances_of_tensors():
    errors = share_errors([[np.array([9.0, 0.0]), np.array([16.0, 4.0])], [np.array([1.0, np.nan])]])
    np.testing.assert_array_equal(errors, [[5.0, 2.0], [1.0, np.nan]])
