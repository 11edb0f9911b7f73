import numpy as np
import pytest
import xarray as xr

from trajlab.statistics.shared_steps import at_shared_steps, own_strides, stride_where


def series(*steps):
    return xr.DataArray(np.array(steps, float), {"step": list(steps)}, "step")


def test_at_shared_steps__are_those_at_which_all_were_recorded():
    shared = at_shared_steps({"a": series(0, 2, 4, 6), "b": series(2, 3, 6, 8)})
    assert {name: array.values.tolist() for name, array in shared.items()} == {"a": [2, 6], "b": [2, 6]}
    assert at_shared_steps({"a": series(0, 5), "b": series(0, 5)}) is None
    disjoint = at_shared_steps({"a": series(0, 2), "b": series(1, 3)})
    assert [array.size for array in disjoint.values()] == [0, 0]


def test_own_strides__count_from_where_a_tensor_was_recorded_before():
    tensors = {"a": series(0, 2, 4, 6), "b": series(2, 6, 7), "c": series(4)}
    strides = own_strides(tensors, np.array([2, 4, 6, 7]))
    nan = np.nan
    np.testing.assert_array_equal(strides, [[2, 2, 2, nan], [nan, nan, 4, 1], [nan] * 4])


@pytest.mark.parametrize(
    ("is_recorded", "expected"),
    [([[1, 0, 1], [0, 1, 1]], [[np.nan, np.nan, 7], [np.nan, np.nan, 2]]), ([[0, 0, 0]], [[np.nan] * 3])],
)
def test_stride_where__of_several_rows(is_recorded, expected):
    actual = stride_where(np.array(is_recorded, bool), np.array([0, 5, 7]))
    np.testing.assert_array_equal(actual, expected)
