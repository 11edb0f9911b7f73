import dask.array as da
import numpy as np
import xarray as xr

from trajlab.scan.as_one_task import as_one_task


def halves(a: xr.DataArray, b: xr.DataArray) -> xr.Dataset:
    return xr.Dataset({"ratio": a / b, "sum": (a + b).sum("x")}).assign_attrs(units="1")


def test_lazily__gives_what_the_function_gives(no_compute):
    a = xr.DataArray(np.arange(6.0).reshape(2, 3), dims=("y", "x"), coords={"x": [1, 2, 3]})
    b = xr.DataArray(np.array([0.0, 1.0, 2.0]), dims="x", coords={"x": [1, 2, 3]})
    with np.errstate(all="ignore"):
        expected = halves(a, b)
    lazy_a, lazy_b = (array.copy(data=da.from_array(array.values, chunks=-1)) for array in (a, b))
    with no_compute():
        result = as_one_task(halves, lazy_a, lazy_b)
    assert result.ratio.chunks is not None
    xr.testing.assert_identical(result.compute(), expected)
    xr.testing.assert_identical((result["sum"] + 1).compute(), expected["sum"] + 1)
