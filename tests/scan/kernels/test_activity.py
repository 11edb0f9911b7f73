import numpy as np
import pytest

from trajlab.scan.kernels.activity import ACTIVITY, activity


@pytest.mark.parametrize(
    ("shape", "axis"), [((40, 7), 1), ((40, 7, 5, 3), 1), ((40, 9, 7), 2), ((7,), 0), ((7, 40), 0)]
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_activity__agrees_with_numpy(rng, shape, axis, dtype):
    h = rng.standard_normal(shape).astype(dtype)
    h[rng.random(shape) < 0.2] = 0
    h[rng.random(shape) < 0.1] = np.nan
    h[rng.random(shape) < 0.1] = -np.inf

    actual = dict(zip(ACTIVITY, activity(h, axis).T, strict=True))

    rows = np.moveaxis(h, axis, 0).reshape(shape[axis], -1).astype(np.float64)
    finite = np.where(np.isfinite(rows), rows, 0)
    np.testing.assert_array_equal(actual["active"], (finite > 0).sum(1))
    np.testing.assert_array_equal(actual["valid"], np.isfinite(rows).sum(1))
    np.testing.assert_array_equal(actual["nonfinite"], (~np.isfinite(rows)).sum(1))
    np.testing.assert_allclose(actual["positive"], np.maximum(finite, 0).sum(1), rtol=1e-13)
    np.testing.assert_allclose(actual["size"], abs(finite).sum(1), rtol=1e-13)
    np.testing.assert_allclose(actual["sum"], finite.sum(1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(actual["squares"], (finite**2).sum(1), rtol=1e-13)


@pytest.mark.parametrize(("low", "high"), [(-0.5, 0.5), (-np.inf, 0.0)])
def test_activity__a_unit_is_active_between_bounds(rng, low, high):
    h = np.append(rng.standard_normal((40, 3)), [[low] * 3, [high] * 3], axis=0)

    assert activity(h, 1, low, high)[:, 0].tolist() == ((h > low) & (h < high)).sum(0).tolist()


def test_activity__of_a_view_that_is_not_contiguous(rng):
    h = rng.standard_normal((6, 4, 10))[::2, :, ::3]

    np.testing.assert_array_equal(activity(h, 1), activity(h.copy(), 1))


def test_activity__of_units_that_are_always_off_is_exactly_zero(rng):
    h = -rng.random((1000, 3)).astype(np.float32)

    assert activity(h, 1)[:, ACTIVITY.index("positive")].tolist() == [0, 0, 0]
