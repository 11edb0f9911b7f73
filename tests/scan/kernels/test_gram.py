import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajlab.scan.kernels import gram as deviations
from trajlab.scan.kernels.gram import centered, gram, principal, walk


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 3), st.sampled_from([np.float32, np.float64]))
def test_gram__is_that_of_the_entries_finite_at_all_steps(steps, size, broken, dtype):
    rng = np.random.default_rng(steps * size)
    rows = (100 + rng.standard_normal((steps, size))).astype(dtype)
    for _ in range(broken):
        rows[rng.integers(steps), rng.integers(size)] = rng.choice([np.nan, np.inf])
    kept = rows[:, np.isfinite(rows).all(axis=0)].astype(np.float64)
    kept -= kept.mean(axis=0)
    actual, nonfinite = gram([list(rows)], steps)
    np.testing.assert_allclose(actual, kept @ kept.T, rtol=1e-9, atol=1e-10)
    assert nonfinite[:-1].tolist() == (~np.isfinite(rows)).sum(axis=1).tolist()
    assert nonfinite[-1] == size - kept.shape[1]


def test_gram__small_steps_far_from_zero_keep_their_digits(rng):
    """Steps of 1e-4 at weights of 100: a product of float32 values, or of ones that are not centered, would fail."""
    moves = rng.integers(-8, 9, (20, 30_000)) * 2.0**-13
    actual, _ = gram([list((100 + moves).astype(np.float32))], 20)
    kept = moves - moves.mean(axis=0)
    np.testing.assert_allclose(actual, kept @ kept.T, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dense", [3, 512])
def test_principal__of_known_orthogonal_deviations(rng, dense, monkeypatch):
    """Directions that are known exactly, by all eigenvalues at once and by the largest one after the other."""
    monkeypatch.setattr(deviations, "DENSE", dense)
    vectors = np.linalg.qr(rng.standard_normal((90, 90)))[0]
    values = 2.0 ** -np.arange(90.0)
    shares, scores = principal(vectors * values @ vectors.T, 4)
    np.testing.assert_allclose(shares, values[:4] / values.sum(), rtol=1e-12)
    np.testing.assert_allclose(abs(scores), abs(vectors[:, :4] * np.sqrt(values[:4])), atol=1e-12)
    assert (scores[0] < 0).all()


def test_principal__nothing_and_too_much():
    shares, scores = principal(np.zeros((5, 5)), 2)
    assert np.isnan(shares).all() and (scores == 0).all()
    shares, scores = principal(np.full((5, 5), np.inf), 2)
    assert np.isnan(shares).all() and np.isnan(scores).all()


@pytest.mark.parametrize("center", ["mean", "last"])
@pytest.mark.parametrize("steps", [np.arange(50), np.arange(3, 500, 7), np.append(0, 2 ** np.arange(12)), [4, 9]])
def test_walk__is_the_spectrum_of_the_covariance_of_a_walk(steps, center):
    steps = np.asarray(steps)
    covariance = centered(np.minimum.outer(steps, steps).astype(np.float64), center)
    expected = np.linalg.eigvalsh(covariance)[::-1] / np.trace(covariance)
    np.testing.assert_allclose(walk(steps, 5, center)[: len(steps)], expected[:5], rtol=1e-9, atol=1e-13)


def test_walk__formula_and_limit():
    k = np.arange(1, 6)
    np.testing.assert_allclose(
        walk(np.arange(0, 400, 4), 5, "mean"), 1.5 / (9999 * np.sin(np.pi * k / 200) ** 2), rtol=1e-10
    )
    np.testing.assert_allclose(walk(np.arange(20_000), 5, "mean"), 6 / (np.pi * k) ** 2, rtol=1e-6)


def test_walk__is_what_a_simulated_walk_shows(rng):
    steps = np.append(np.arange(20), np.arange(20, 300, 10))
    moves = rng.standard_normal((300, 40_000), np.float32)
    actual, _ = principal(centered(gram([list(np.cumsum(moves, axis=0)[steps])], len(steps))[0], "mean"), 4)
    np.testing.assert_allclose(actual, walk(steps, 4, "mean"), rtol=0.02)
