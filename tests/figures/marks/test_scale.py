import numpy as np
import pytest
import xarray as xr

from trajlab.figures.marks.scale import scale_for


def test_scale__is_logarithmic_over_decades_and_keeps_zeros_and_infinities():
    values = np.array([0.0, 1e-6, 1e-5, 1e-3, 1.0, np.inf])

    scale = scale_for(xr.DataArray(values))

    assert (scale.norm.vmin, scale.norm.vmax) == (1e-6, 1.0)
    np.testing.assert_array_equal(scale.show(values), [1e-6, 1e-6, 1e-5, 1e-3, 1.0, 1.0])


def test_scales__reach_far_enough_that_small_differences_look_small():
    array = xr.DataArray([[1.0, 2.0], [3.0, 4.0]]) / 1000 + 1

    assert scale_for(array, center=1.0).norm.vmax == pytest.approx(1.004)
    near, far = (scale_for(one, center=1.0, reach=0.1).norm for one in (array, array + 1))
    assert (near.vmin, near.vmax) == pytest.approx((0.9, 1.1))
    assert far.vmax == pytest.approx(2.004)
