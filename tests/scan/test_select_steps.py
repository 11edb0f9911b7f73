import numpy as np
import pytest
import xarray as xr

from trajlab.runs.disk.lazy import lazy, rows_of
from trajlab.scan.select_steps import select_steps

STEPS = [np.s_[1:5:2], [0, 5], np.s_[::-1], np.s_[9:], [], np.array([2, -1]), np.arange(6) % 2 == 0, [True] * 6]
"""Positions to select among six steps."""


def of_rows(rows, **more):
    coords = {"step": np.arange(0, 60, 10)}
    return xr.DataArray(lazy(rows), dims=["step", "out", "in"], coords=coords, name="w", **more)


@pytest.mark.parametrize("positions", STEPS)
def test_select_steps__is_isel_and_keeps_rows(table, positions, no_compute):
    rows, values = table
    array = of_rows(rows, attrs={"shape": (2, 3)})
    with no_compute():
        selected = select_steps(array, positions)
    xr.testing.assert_identical(selected.compute(), array.isel(step=positions).compute())
    np.testing.assert_array_equal(rows_of(selected.data).load(), array.isel(step=positions).values)


def test_select_steps__takes_what_is_not_read_in_rows(table):
    rows, values = table
    array = of_rows(rows)
    for other in (array.compute(), array * 2, array.transpose("out", "in", "step"), array.isel(out=0)):
        xr.testing.assert_identical(select_steps(other, [1, 3]), other.isel(step=[1, 3]))


@pytest.mark.parametrize("positions", [[7], np.array([1, 9]), np.ones(5, bool)])
def test_select_steps__refuses_positions_that_are_not_there(table, positions):
    with pytest.raises(IndexError):
        select_steps(of_rows(table[0]), positions)
