import numpy as np
import xarray as xr

from trajlab.figures.marks.scale import scale_for


def test_scale__is_logarithmic_over_decades_and_keeps_zeros_and_infinities():
    values = np.array([0.0, 1e-6, 1e-5, 1e-3, 1.0, np.inf])

    scale = scale_for(xr.DataArray(values))

    assert (scale.norm.vmin, scale.norm.vmax) == (1e-6, 1.0)
    np.testing.assert_array_equal(scale.show(values), [1e-6, 1e-6, 1e-5, 1e-3, 1.0, 1.0])
