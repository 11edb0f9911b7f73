import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from threadpoolctl import threadpool_info

from trajlab.scan.kernels.singular_values import singular_values
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
