import copy
import pickle

import dask
import numpy as np
import pytest
import xarray as xr

from trajlab import sizes
from trajlab.runs.disk.lazy import lazy, rows_of


def test_lazy__knows_its_rows_until_it_is_changed(table):
    rows, values = table
    array = lazy(rows)
    assert rows_of(array) is rows
    assert rows_of(array[:, 1:]) is rows_of(array[2]) is rows_of(array.T) is rows_of(array[:, None]) is None
    assert rows_of(array + 1) is None
    np.testing.assert_array_equal((array + 1).compute(), values + 1)


@pytest.mark.parametrize(("chunk_bytes", "steps"), [(1, (1,) * 6), (48, (2, 2, 2)), (100, (4, 2)), (10**6, (6,))])
def test_lazy__is_chunked_along_the_steps(table, monkeypatch, chunk_bytes, steps):
    monkeypatch.setattr(sizes, "CHUNK_BYTES", chunk_bytes)
    rows, values = table
    array = lazy(rows)
    assert array.chunks == (steps, (2,), (3,)) and array.dtype == np.float32
    np.testing.assert_array_equal(array.compute(), values)


STEPS = [np.s_[1:5:2], np.s_[[0, 5]], np.s_[::-1], np.s_[9:], [], np.array([2, -1]), np.arange(6) % 2 == 0, [True] * 6]
"""Indices of steps, of which there are six."""


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("through", [lambda array, steps: array[steps], lambda array, steps: array[steps, :, :]])
def test_lazy__some_of_its_steps_are_rows_too(table, steps, through):
    rows, values = table
    expected = values[np.asarray(steps, int) if steps == [] else steps] if isinstance(steps, list) else values[steps]
    array = through(lazy(rows), steps)
    assert len(rows_of(array)) == len(expected) and array.shape == expected.shape
    np.testing.assert_array_equal(array.compute(), expected)
    np.testing.assert_array_equal(rows_of(array).load(), expected)


def test_lazy__steps_selected_in_xarray_are_rows_too(table):
    rows, values = table
    array = xr.DataArray(lazy(rows), dims=["step", "out", "in"], coords={"step": np.arange(0, 60, 10)})
    for chosen, expected in [
        (array.isel(step=slice(None, None, 2)), values[::2]),
        (array.sel(step=[10, 50]), values[[1, 5]]),
        (array.sel(step=slice(10, 30)), values[1:4]),
        (array[:, :, :], values),
        (array.isel(step=np.arange(6) > 3)[1:], values[5:]),
    ]:
        np.testing.assert_array_equal(rows_of(chosen.data).load(), expected)
        np.testing.assert_array_equal(chosen.values, expected)


def test_lazy__entries_that_were_set_are_no_rows(table):
    rows, values = table
    array = lazy(rows)
    array[1:3] = 0.0
    assert rows_of(array) is None and rows_of(array[2:]) is None
    expected = values.copy()
    expected[1:3] = 0.0
    np.testing.assert_array_equal(array.compute(), expected)
    np.testing.assert_array_equal(array[2:].compute(), expected[2:])


@pytest.mark.parametrize(
    "copied", [lambda array: pickle.loads(pickle.dumps(array)), copy.deepcopy, lambda array: array.persist()]
)
def test_lazy__copies_hold_the_same(table, copied):
    rows, values = table
    np.testing.assert_array_equal(copied(lazy(rows))[1:4:2].compute(), values[1:4:2])


@pytest.mark.parametrize("index", [[7], np.array([1, 9]), np.ones(5, bool), [0.5]])
def test_lazy__refuses_steps_that_are_not_there(table, index):
    with pytest.raises((IndexError, ValueError)):
        lazy(table[0])[index]


@pytest.mark.parametrize("index", [np.s_[3], np.s_[-1], np.s_[:, 1], np.s_[4, :, 2], np.s_[..., 0], np.s_[None, 1:3]])
def test_lazy__is_indexed_as_numpy_is(table, index):
    rows, values = table
    np.testing.assert_array_equal(lazy(rows)[index].compute(), values[index])


def test_lazy__the_same_rows_have_the_same_name_and_read_nothing(table, no_compute):
    rows, _ = table
    with no_compute():
        assert lazy(rows).name == lazy(rows).name != lazy(rows[1:]).name
    assert len(lazy(rows).dask.layers) == 1 and dask.is_dask_collection(lazy(rows))
