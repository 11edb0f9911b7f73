import dask
import numpy as np
import pytest

from trajlab import sizes
from trajlab.runs.disk.lazy import lazy, rows_of


def test_lazy__knows_its_rows_until_it_is_changed(table):
    rows, values = table
    array = lazy(rows)
    assert rows_of(array) is rows
    assert rows_of(array[2:]) is None
    assert rows_of(array + 1) is None
    np.testing.assert_array_equal((array + 1).compute(), values + 1)


@pytest.mark.parametrize(("chunk_bytes", "steps"), [(1, (1,) * 6), (48, (2, 2, 2)), (100, (4, 2)), (10**6, (6,))])
def test_lazy__is_chunked_along_the_steps(table, monkeypatch, chunk_bytes, steps):
    monkeypatch.setattr(sizes, "CHUNK_BYTES", chunk_bytes)
    rows, values = table
    array = lazy(rows)
    assert array.chunks == (steps, (2,), (3,)) and array.dtype == np.float32
    np.testing.assert_array_equal(array.compute(), values)


@pytest.mark.parametrize(
    "index", [np.s_[3], np.s_[-1], np.s_[1:5:2], np.s_[:, 1], np.s_[4, :, 2], np.s_[[0, 5]], np.s_[::-1]]
)
def test_lazy__is_indexed_as_numpy_is(table, index):
    rows, values = table
    np.testing.assert_array_equal(lazy(rows)[index].compute(), values[index])


def test_lazy__the_same_rows_have_the_same_name_and_read_nothing(table, no_compute):
    rows, _ = table
    with no_compute():
        assert lazy(rows).name == lazy(rows).name != lazy(rows[1:]).name
    assert len(lazy(rows).dask.layers) == 1 and dask.is_dask_collection(lazy(rows))
