import numpy as np
import pytest

from trajlab.scan.kernels import leading_values as kernel
from trajlab.scan.kernels.leading_values import estimated_effective_rank, leading_values, traces


def learned(rng, rows, columns, directions=5):
    """Noise, and a few directions beyond it."""
    low = rng.standard_normal((rows, directions)) @ rng.standard_normal((directions, columns))
    return (rng.standard_normal((rows, columns)) / 30 + low / 10).astype(np.float32)


def spectrum(matrix):
    s = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    p = s / s.sum()
    return s, np.exp(-(p * np.log(p)).sum())


@pytest.mark.parametrize("shape", [(300, 500), (500, 300), (400, 400)])
def test_leading_values__are_within_their_bound_and_never_too_large(rng, shape):
    matrix = learned(rng, *shape)
    s, _ = spectrum(matrix)
    leading = leading_values(matrix, 16)
    assert len(leading.values) >= 5
    excess = s[: len(leading.values)] - leading.values
    assert (excess > -1e-10 * s[0]).all() and excess.max() <= leading.error + 1e-10 * s[0]
    assert leading.error <= 1e-3 * s[0]
    side = matrix.astype(np.float64) if shape[0] <= shape[1] else matrix.T.astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(side.T @ leading.vectors, axis=0), leading.values, rtol=1e-6)


def test_leading_values__what_has_not_converged_is_left_out(rng, monkeypatch):
    """A flat spectrum of noise needs more products than are made."""
    monkeypatch.setattr(kernel, "DEPTHS", (4,))
    leading = leading_values(learned(rng, 400, 600, directions=3), 40)
    assert 3 <= len(leading.values) < 40


@pytest.mark.parametrize("matrix", [np.zeros((6, 9)), np.outer(np.arange(1.0, 7), np.ones(9)), np.eye(6, 9)])
def test_leading_values__of_small_and_degenerate_matrices(matrix):
    leading = leading_values(matrix, 4)
    np.testing.assert_allclose(leading.values, np.linalg.svd(matrix, compute_uv=False)[:4], atol=1e-6)
    rank, error = estimated_effective_rank(matrix, leading)
    if matrix.any():
        assert rank == pytest.approx(np.linalg.matrix_rank(matrix), abs=4 * error + 1e-4)
    else:
        assert np.isnan([rank, error]).all()


def test_traces__of_the_whole_and_of_all_but_the_largest(rng):
    """The trace of the Gram matrix itself is Σs²; without directions it lacks theirs."""
    matrix = learned(rng, 200, 300)
    s, _ = spectrum(matrix)
    leading = leading_values(matrix, 8)
    (whole,), (rest,) = (traces(matrix, v, lambda x: x) for v in (leading.vectors[:, :0], leading.vectors))
    assert whole.mean() == pytest.approx((s**2).sum(), rel=5 * whole.std() / 8**0.5 / whole.mean())
    assert rest.mean() == pytest.approx((s[len(leading.values) :] ** 2).sum(), rel=0.05)


def test_effective_rank_error__is_the_spread_of_the_estimate(rng, monkeypatch):
    matrix = learned(rng, 150, 250)
    _, expected = spectrum(matrix)
    leading = leading_values(matrix, 8)
    make, estimates = np.random.default_rng, []
    for seed in range(60):
        monkeypatch.setattr(np.random, "default_rng", lambda _, seed=seed: make(1000 + seed))
        estimates.append(estimated_effective_rank(matrix, leading))
    ranks, errors = np.array(estimates).T
    assert np.sqrt(np.mean((ranks - expected) ** 2)) == pytest.approx(np.sqrt(np.mean(errors**2)), rel=0.25)
    assert np.mean(ranks) == pytest.approx(expected, abs=4 * ranks.std() / 60**0.5)
