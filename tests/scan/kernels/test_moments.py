import numpy as np
import pytest
from scipy import stats

from trajlab.scan.block import Block, reduce
from trajlab.scan.kernels.moments import Moments
from trajlab.scan.kernels.power_sums import MOMENTS
from trajlab.scan.track import Track
from trajlab.sizes import TILE_ENTRIES


def table(rows):
    ((out, _),) = reduce([Moments()], Block(Track(list(rows))))
    return dict(zip(MOMENTS, out.T, strict=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 2, TILE_ENTRIES + 1, 5 * TILE_ENTRIES])
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_moments__agree_with_scipy(rng, dtype, size, mean):
    rows = (rng.standard_normal((3, size)) + mean).astype(dtype)
    actual, w = table(rows), rows.astype(np.float64)
    np.testing.assert_allclose(actual["mean"], w.mean(1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(actual["m2"] / size, w.var(1), rtol=1e-9, atol=1e-20)
    np.testing.assert_allclose(actual["m3"] / size, stats.moment(w, 3, axis=1), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(actual["m4"] / size, stats.moment(w, 4, axis=1), rtol=1e-9, atol=1e-20)
    np.testing.assert_allclose(actual["abs"], abs(w).sum(1), rtol=1e-12)
    np.testing.assert_array_equal(actual["min"], w.min(1))
    np.testing.assert_array_equal(actual["max"], w.max(1))


def test_moments__skip_what_is_not_finite_and_count_it():
    rows = np.array([[1, np.nan, 3, np.inf, 0], [np.nan] * 5], np.float32)
    actual = table(rows)
    assert actual["count"].tolist() == [3, 0]
    assert actual["nonfinite"].tolist() == [2, 5]
    assert actual["zeros"].tolist() == [1, 0]
    assert actual["min"][0] == 0 and actual["max"][0] == 3
    assert np.isnan(actual["min"][1])


def test_moments__tell_negative_zero_as_zero():
    assert table(np.array([[-0.0, 0.0, 1.0]], np.float32))["zeros"].tolist() == [2]
