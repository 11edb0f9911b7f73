import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from threadpoolctl import threadpool_info

from trajlab.scan.kernels.singular_values import decompose, operations, singular_values
from trajlab.threads import one_thread


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)).flatmap(
        lambda shape: arrays(np.float32, shape, elements=st.floats(-(2.0**20), 2.0**20, width=32))
    )
)
def test_singular_values__are_those_of_numpy(stack):
    stack = stack.astype(np.float64)
    expected = np.linalg.svd(stack, compute_uv=False)
    actual = np.array([singular_values(matrix) for matrix in stack])
    assert (np.diff(actual) <= 0).all()
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-14 * abs(stack).max())


@pytest.mark.parametrize("condition", [1e2, 1e3, 1e4, 1e8, 1e14])
@pytest.mark.parametrize("shape", [(60, 60), (40, 90), (90, 40)])
def test_singular_values__small_ones_are_as_good_as_large_ones(rng, condition, shape):
    """Down to what a decomposition in float64 can know: an error of a few rounding units of the largest."""
    k = min(shape)
    s = np.geomspace(1.0, 1.0 / condition, k)
    left, right = (np.linalg.qr(rng.standard_normal((n, k)))[0] for n in shape)
    actual = singular_values(left * s @ right.T)
    np.testing.assert_allclose(actual, s, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_singular_values__squares_beyond_float64(rng, scale):
    matrix = rng.standard_normal((4, 6))
    actual = singular_values(scale * matrix)
    np.testing.assert_allclose(actual / scale, np.linalg.svd(matrix, compute_uv=False), rtol=1e-12)


@pytest.mark.parametrize("shape", [(60, 60), (300, 310), (128, 900), (700, 64)])
@pytest.mark.parametrize("kind", ["noise", "rank 3", "graded", "heavy", "mean"])
def test_decompose__of_floats_stored_in_float32_is_within_its_bound(rng, shape, kind):
    k = min(shape)
    matrix = rng.standard_normal(shape)
    if kind == "rank 3":
        matrix = rng.standard_normal((shape[0], 3)) @ rng.standard_normal((3, shape[1]))
    elif kind == "graded":
        left, right = (np.linalg.qr(rng.standard_normal((n, k)))[0] for n in shape)
        matrix = left * np.geomspace(1.0, 1e-9, k) @ right.T
    elif kind == "heavy":
        matrix = rng.standard_t(2, shape)
    elif kind == "mean":
        matrix = matrix + 30.0
    stored = matrix.astype(np.float32)
    exact = np.linalg.svd(stored.astype(np.float64), compute_uv=False)
    actual = decompose(stored, epsilon=2.0**-23)
    assert abs(actual.values - exact).max() <= actual.error + 2.0**-50 * exact[0]
    # Entries that were rounded to float32 moved the singular values as far, or the bound is below a millionth.
    moved = abs(exact - np.linalg.svd(matrix, compute_uv=False)).max()
    assert actual.error <= max(10 * moved, 1e-6 * exact[0])


@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (20, 30)])
def test_decompose__vectors_are_those_of_the_largest(rng, shape):
    matrix = rng.standard_normal(shape) + 5 * np.outer(*(rng.standard_normal(n) for n in shape))
    left, s, right = np.linalg.svd(matrix, full_matrices=False)
    actual = decompose(matrix, epsilon=2.0**-23, vectors=2)
    expected = left[:, :2] if shape[0] <= shape[1] else right[:2].T
    np.testing.assert_allclose(abs((actual.vectors * expected).sum(0)), 1, rtol=1e-6)
    np.testing.assert_allclose(actual.values, s, rtol=1e-9)


def test_operations__grow_with_the_smaller_side_until_only_the_largest_are_computed():
    assert operations(2048, 50304) == operations(50304, 2048) > 2048**2 * 50304
    assert operations(8192, 28672) < operations(8192, 28672, exact_size=8192)


def test_one_thread__lasts_until_the_last_leaves_and_then_is_lifted():
    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = threads()
    inside, leave = threading.Event(), threading.Event()

    def other():
        with one_thread():
            inside.set()
            leave.wait(10)

    worker = threading.Thread(target=other)
    with one_thread():
        worker.start()
        assert inside.wait(10)
    assert set(threads()) == {1}
    leave.set()
    worker.join()
    assert threads() == before
