import numpy as np
import pytest

from trajlab.scan.kernels.saturation import SATURATION, Flat, certainty, saturation


@pytest.mark.parametrize(
    ("shape", "axis"), [((40, 7), 1), ((40, 7, 5, 3), 1), ((40, 9, 7), 2), ((7,), 0), ((7, 40), 0), ((3, 5, 1, 1), 1)]
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_saturation__agrees_with_numpy(rng, shape, axis, dtype):
    h = np.clip(rng.standard_normal(shape), -1, 1).astype(dtype)
    h[rng.random(shape) < 0.1] = np.nan
    h[rng.random(shape) < 0.1] = -np.inf
    h[rng.random(shape) < 0.1] = np.inf

    actual = dict(zip(SATURATION, saturation(h, axis, Flat(-np.inf, -0.5, 1.0)).T, strict=True))

    rows = np.moveaxis(h, axis, 0).reshape(shape[axis], -1).astype(np.float64)
    finite = np.isfinite(rows)
    np.testing.assert_array_equal(actual["low"], (finite & (rows <= -0.5)).sum(1))
    np.testing.assert_array_equal(actual["high"], (finite & (rows >= 1.0)).sum(1))
    np.testing.assert_array_equal(actual["valid"], finite.sum(1))
    np.testing.assert_array_equal(actual["nonfinite"], (~finite).sum(1))


def test_saturation__bounds_between_two_numbers_of_the_type_are_kept_to():
    near = np.float32(0.99)  # more than 0.99
    h = np.array([[near, np.nextafter(near, np.float32(0)), -0.9, 0.0, -0.0]], np.float32).T
    assert saturation(h, 1, Flat(-np.inf, -0.99, 0.99))[0].tolist() == [0, 1, 5, 0]
    assert saturation(h, 1, Flat(0.0, 0.0))[0].tolist() == [2, 0, 5, 0]
    assert saturation(h, 1, Flat())[0].tolist() == [0, 0, 5, 0]


def test_saturation__of_a_view_that_is_not_contiguous(rng):
    h = rng.standard_normal((6, 4, 10))[::2, :, ::3]
    flat = Flat(-np.inf, -0.5, 0.5)
    np.testing.assert_array_equal(saturation(h, 1, flat), saturation(h.copy(), 1, flat))


@pytest.mark.parametrize("logarithm", [False, True])
def test_certainty__counts_where_one_share_is_above_the_bound(rng, logarithm):
    logits = 4 * rng.standard_normal((6, 3, 5, 7))
    shares = np.exp(logits) / np.exp(logits).sum(3, keepdims=True)
    values = np.log(shares) if logarithm else shares
    values[0, 1, 2, 3] = np.nan

    actual = certainty(values, 3, 1, 0.9, logarithm)

    known = np.isfinite(values).all(3)
    sure = known & (shares.max(3) > 0.9)
    np.testing.assert_array_equal(actual[:, 1], sure.sum((0, 2)))
    np.testing.assert_array_equal(actual[:, 2], known.sum((0, 2)))
    assert actual[:, 3].tolist() == [0, 1, 0] and actual[:, 0].sum() == 0
    assert 0 < sure.sum() < known.sum()
    np.testing.assert_array_equal(certainty(values, 3, None, 0.9, logarithm), actual.sum(0, keepdims=True))


def test_certainty__of_the_logarithm_of_no_share():
    values = np.array([[0.0, -np.inf], [-np.inf, np.nan]], np.float32)
    assert certainty(values, 1, None, 0.99, True).tolist() == [[0, 1, 1, 1]]
    assert certainty(values, 1, None, 0.99, False)[0, 3] == 3
