import dask.array as da
import numpy as np
import pytest
import xarray as xr

from trajlab.errors import MissingData
from trajlab.statistics.updates import updates_of

VALUES = np.array([[1.0, 2.0], [1.5, 0.0], [np.inf, -1.0], [np.inf, 3.0]], np.float32)


def tensor(data=VALUES, **attrs):
    steps = [0, 5, 7, 9][: data.shape[0]]
    coords = {"step": steps, "stride": ("step", steps), "index": ("out", [4, 8])}
    return xr.DataArray(data, coords, ("step", "out"), "w", attrs)


@pytest.mark.parametrize("chunks", [None, (1, 2), (4, 1), (3, 2)])
def test_updates_of__are_differences_of_recorded_steps(chunks, no_compute):
    array = tensor(VALUES if chunks is None else da.from_array(VALUES, chunks), kind="bias")
    with no_compute():
        updates = updates_of(array)
    assert updates.name == "w" and updates.attrs == {"kind": "bias"} and updates.dtype == np.float32
    assert updates.step.values.tolist() == [5, 7, 9] and set(updates.coords) == {"step", "index"}
    np.testing.assert_array_equal(updates, [[0.5, -2.0], [np.inf, -1.0], [np.nan, 4.0]])


def test_updates_of__many_leave_out_those_of_a_single_step():
    updates = updates_of({"a": tensor(), "b": tensor(VALUES[:1])})
    assert list(updates) == ["a"]
    np.testing.assert_array_equal(updates["a"][0], [0.5, -2.0])


@pytest.mark.parametrize(
    ("weight", "words"),
    [(tensor(VALUES[:1]), "cannot compute updates of w: it was recorded at one step"),
     ({"b": tensor(VALUES[:1])}, "no tensor was recorded at two steps; record more snapshots")],
)  # fmt: skip
def test_updates_of__need_two_steps(weight, words):
    with pytest.raises(MissingData, match=words):
        updates_of(weight)
