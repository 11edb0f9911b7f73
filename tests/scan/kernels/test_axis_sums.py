import numpy as np
import pytest

from trajlab.scan.kernels.axis_sums import add_along


@pytest.mark.parametrize(("shape", "axis"), [((6, 4), 0), ((6, 4), 1), ((6, 4, 5, 3), 1), ((6, 9, 4), 2), ((1, 1), 1)])
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_add_along__agrees_with_numpy(rng, shape, axis, share):
    values = rng.standard_normal(shape).astype(np.float32)
    values[rng.random(shape) < share] = np.nan
    values[rng.random(shape) < share] = np.inf
    out = np.ones((shape[axis], 2))
    add_along(values, axis, out)

    others = tuple(i for i in range(len(shape)) if i != axis)
    finite = np.isfinite(values)
    np.testing.assert_allclose(out[:, 0] - 1, np.where(finite, values, 0).sum(others, dtype=np.float64), atol=1e-12)
    np.testing.assert_array_equal(out[:, 1] - 1, finite.sum(others))
