import numpy as np
import pytest
from scipy import stats

from trajlab.scan.kernels.float_bins import KEYS
from trajlab.scan.kernels.moments import MOMENTS
from trajlab.scan.kernels.tally import TABLES, add_along, tally


def start() -> tuple[np.ndarray, np.ndarray]:
    moments = np.zeros((1, len(MOMENTS)))
    moments[0, MOMENTS.index("min")], moments[0, MOMENTS.index("max")] = np.inf, -np.inf
    return np.zeros((TABLES, KEYS), np.uint32), moments


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 3, 50_001])
def test_tally__agrees_with_numpy_and_scipy(rng, dtype, size):
    parts = [np.maximum(rng.standard_normal(size), 0).astype(dtype) for _ in range(3)]
    parts[1][size // 2] = np.inf
    tables, out = start()
    for part in parts:
        tally(part.reshape(1, -1), tables, out)

    whole = np.concatenate(parts).astype(np.float64)
    bits = whole.astype(np.float32).view(np.uint32) >> 16
    np.testing.assert_array_equal(tables.sum(0), np.bincount(bits, minlength=KEYS))
    finite = whole[np.isfinite(whole)]
    found = dict(zip(MOMENTS, out[0], strict=True))
    assert (found["count"], found["nonfinite"], found["zeros"]) == (len(finite), 1, (finite == 0).sum())
    assert (found["min"], found["max"]) == (finite.min(), finite.max())
    for name, order in (("m2", 2), ("m3", 3), ("m4", 4)):
        expected = stats.moment(finite, order) * len(finite)
        np.testing.assert_allclose(found[name], expected, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(found["mean"], finite.mean(), rtol=1e-13, atol=1e-15)


def test_tally__without_tables_takes_the_moments_only(rng):
    values = rng.standard_normal((5, 7))
    tables, out = start()
    tally(values, tables[:0], out)
    assert out[0, 0] == 35


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
