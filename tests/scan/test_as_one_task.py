import dask.array as da
import numpy as np
import pytest
import xarray as xr

from trajlab.scan.as_one_task import as_one_task


def halves(a: xr.DataArray, b: xr.DataArray) -> xr.Dataset:
    return xr.Dataset({"ratio": a / b, "sum": (a + b).sum("x")}).assign_attrs(units="1")


def test_as_one_task__returns_the_result_of_the_function(no_compute):
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


@pytest.mark.parametrize("chunks", [None, -1, 1, {"step": 2, "x": 1}])
@pytest.mark.parametrize("coords", [{}, {"step": [0, 10, 20, 30, 40], "x": ["a", "b", "c"]}])
def test_as_one_task__inputs_of_any_chunking_with_and_without_coords(chunks, coords):
    plain = xr.DataArray(np.arange(15.0).reshape(5, 3), coords, ("step", "x"))
    array = plain if chunks is None else plain.chunk(chunks)
    result = as_one_task(lambda a: xr.Dataset({"total": a.sum(), "steps": a.sum("x")}), array)
    assert all(variable.chunks is not None for variable in result.data_vars.values())
    assert float(result["total"]) == 105
    xr.testing.assert_identical(result["steps"].compute(), plain.sum("x").rename("steps"))
