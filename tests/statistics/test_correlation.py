from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ortho_group

from trajlab.statistics.correlation import (
    CHANGES,
    PAIRS,
    changes,
    cka,
    feature_matrix,
    features_of,
    pairs,
    sample_matrix,
)


def hsic(x, y):
    """The unbiased HSIC of linear kernels as the U-statistic that it is, over all four different samples."""
    k, m = x @ x.T, y @ y.T
    terms = [k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in permutations(range(len(x)), 4)]
    return np.mean(terms)


def alike(x, y):
    return cka(features_of(x), features_of(y))


def changed(start, now, end, shuffles=0):
    values = changes(*map(features_of, (start, now, end)), shuffles=shuffles)
    return dict(zip(CHANGES, values, strict=True))


@given(seed=st.integers(0, 1000), units=st.integers(1, 5), others=st.integers(1, 5))
def test_cka__is_the_ratio_of_u_statistics(seed, units, others):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((6, units)) + 3, 100 * rng.standard_normal((6, others))
    own = hsic(x, x), hsic(y, y)
    expected = hsic(x, y) / np.sqrt(own[0] * own[1]) if min(own) > 0 else np.nan
    assert alike(x, y) == pytest.approx(expected, rel=1e-6, abs=1e-9, nan_ok=True)


def test_cka__is_the_formula_of_song(rng):
    """Equation 5 with the kernels written out, as in Nguyen et al."""

    def unbiased(k, m):
        n = len(k)
        k, m = k * (1 - np.eye(n)), m * (1 - np.eye(n))
        mixed = k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k.sum(0) @ m.sum(1))
        return (np.trace(k @ m) + mixed) / (n * (n - 3))

    x, y = rng.standard_normal((40, 7)), rng.standard_normal((40, 9))
    y[:, 0] += x[:, 0]
    k, m = x @ x.T, y @ y.T
    expected = unbiased(k, m) / np.sqrt(unbiased(k, k) * unbiased(m, m))
    assert alike(x, y) == pytest.approx(expected, rel=1e-10)


def test_cka__does_not_see_rotation_scale_and_shift(rng):
    x = rng.standard_normal((50, 6)) * np.arange(1, 7)
    rotation = ortho_group.rvs(6, random_state=0)
    assert alike(x, x) == pytest.approx(1, abs=1e-12)
    assert alike(x, 3 * x @ rotation + 5) == pytest.approx(1, abs=1e-12)
    assert alike(x, x @ np.diag([9, 1, 1, 1, 1, 0.1])) < 0.9


def test_cka__of_independent_features_is_about_0_however_many_they_are(rng):
    """The biased CKA of these is above 0.7."""
    actual = [alike(*rng.standard_normal((2, 30, 100))) for _ in range(40)]
    assert abs(np.mean(actual)) < 3 * np.std(actual) / np.sqrt(40) + 0.005
    assert min(actual) < 0 < max(actual)


def test_cka__of_less_than_four_samples_is_unknown(rng):
    assert np.isnan(alike(*rng.standard_normal((2, 3, 5))))
    assert np.isfinite(alike(*rng.standard_normal((2, 4, 5))))
    assert np.isnan(alike(np.ones((6, 2)), rng.standard_normal((6, 2))))


def test_pairs__agree_with_corrcoef_beyond_a_block(rng, monkeypatch):
    monkeypatch.setattr("trajlab.sizes.CORRELATION_FEATURES", 3)
    x, y = rng.standard_normal((20, 8)), 5 + 1e-3 * rng.standard_normal((20, 5))
    y[:, 2] = -x[:, 1]
    actual = pairs([features_of(x), features_of(y)])
    whole = np.corrcoef(np.hstack([x, y]).T)
    parts = slice(0, 8), slice(8, 13)
    for i, rows in enumerate(parts):
        for j, columns in enumerate(parts):
            block = whole[rows, columns]
            np.testing.assert_allclose(actual[i, j, :2], [block.sum(), abs(block).sum()], rtol=1e-10, atol=1e-12)
    assert PAIRS[2] == "cka"
    assert actual[0, 1, 2] == pytest.approx(alike(x, y)) and actual[0, 0, 2] == pytest.approx(1)
    np.testing.assert_array_equal(actual, actual.swapaxes(0, 1))


def test_pairs__of_features_that_do_not_vary_are_unknown(rng):
    actual = pairs([features_of(np.ones((9, 3))), features_of(rng.standard_normal((9, 2)))])
    assert actual[0, 0, 0] == 0 and np.isnan(actual[0, :, 2]).all()
    assert actual[1, 1, 2] == pytest.approx(1)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e150])
def test_features__of_any_size_have_directions(rng, scale):
    values = scale * rng.standard_normal((7, 4))
    actual = features_of(values)
    np.testing.assert_allclose((actual.directions**2).sum(0), 1)
    np.testing.assert_allclose(actual.directions.T @ actual.directions, np.corrcoef((values / scale).T), atol=1e-9)
    assert actual.weights.sum() == pytest.approx(1)


def test_features__that_are_broken_are_told_from_constant_ones():
    values = np.array([[1, 2, 0, 5], [1, np.nan, 0, 6], [1, 3, np.inf, 5.0]])
    actual = features_of(values)
    assert actual.units.tolist() == [3] and actual.constant == 1


def test_changes__follow_a_permutation(rng):
    x = rng.standard_normal((60, 8))
    order = np.array([1, 0, 2, 3, 4, 5, 7, 6])
    actual = changed(x, x[:, order], x, shuffles=20)
    assert [actual["cka_start"], actual["cka_end"]] == pytest.approx([1, 1])
    assert actual["matched_end"] == pytest.approx(1)
    assert actual["kept_end"] == 0.5
    assert actual["own_end"] == pytest.approx(np.corrcoef(x.T)[np.arange(8), order].mean())
    assert 0 < actual["matched_end_null"] < actual["matched_end_null_95"] < 0.5


def test_changes__leave_out_what_does_not_vary(rng):
    start = rng.standard_normal((30, 4))
    now, end = start.copy(), start.copy()
    now[:, 1], end[:, 3] = 7, np.nan
    actual = changed(start, now, end)
    assert actual["own_end"] == pytest.approx(1)
    assert actual["kept_end"] == pytest.approx(2 / 3)
    assert np.isnan(actual["matched_end_null"])
    nothing = changed(start, np.ones((30, 4)), end, shuffles=2)
    assert all(np.isnan(value) for value in nothing.values())


def test_matrices__are_those_of_numpy(rng):
    values = rng.standard_normal((12, 5))
    values[:, 3] = 2
    known = [0, 1, 2, 4]
    np.testing.assert_allclose(feature_matrix(values)[np.ix_(known, known)], np.corrcoef(values[:, known].T), atol=1e-6)
    assert np.isnan(feature_matrix(values)[3]).all()
    np.testing.assert_allclose(sample_matrix(values), np.corrcoef(values), atol=1e-6)
    values[5, 1] = np.nan
    np.testing.assert_allclose(sample_matrix(values), np.corrcoef(values[:, [0, 2, 3, 4]]), atol=1e-6)
