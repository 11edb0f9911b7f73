import numpy as np
import pytest
import xarray as xr

pytest.importorskip("bokeh", reason="the page needs trajlab[explore]")

from trajlab.explorer.quantity import (
    chosen,
    free_dims,
    is_map,
    labels_of,
    maps_of,
    numbers,
    of_run,
    row_dim,
    text_of,
)  # noqa: E402


def array(*dims, **coords):
    sizes = {"run": 2, "step": 3, "parameter": 4, "tau": 2, "unit": 5}
    return xr.DataArray(np.zeros([sizes[dim] for dim in dims]), coords, dims)


def test_maps_of__are_numbers_over_steps_and_rows_with_fewer_dims_and_no_errors_first():
    result = xr.Dataset(
        {
            "norm_se": array("step", "parameter"), "wide": array("step", "parameter", "unit"),
            "norm": array("step", "parameter"),
            "total": array("step"), "names": array("step", "parameter").astype(str),
        }
    )  # fmt: skip
    assert list(maps_of(result)) == ["norm", "wide", "norm_se"]
    assert not is_map(array("step", "parameter").isel(step=slice(0))) and row_dim(array("step")) == ""
    assert free_dims(array("run", "step", "parameter", "tau")) == ["tau"]


def test_chosen__is_the_label_that_was_chosen_or_the_usual_one():
    taus = array("step", "parameter", "tau", tau=("tau", [0.1, 0.01]), tau_kind=("tau", ["absolute", "relative"]))
    assert chosen(taus, {}) == {"tau": 0} and chosen(taus, {"tau": "|g| ≤ 0.01 RMS"}) == {"tau": 1}
    assert chosen(taus, {"tau": "gone"}) == {"tau": 0} and chosen(taus, {}, keep=("tau",)) == {}
    assert labels_of(array("step", "tau"), "tau") == {"tau 0": 0, "tau 1": 1}
    twice = array("tau", tau=("tau", [0.1, 0.1]))
    assert labels_of(twice, "tau") == {"|g| ≤ 0.1": 0, "|g| ≤ 0.1 (1)": 1}


def test_of_run__is_a_part_or_the_whole_of_a_single_run():
    runs = array("run", "step", run=("run", ["a", "b"]))
    assert of_run(runs, "b").dims == ("step",) and of_run(runs, "c") is None
    assert of_run(array("step"), "c").dims == ("step",)


@pytest.mark.parametrize(("value", "text"), [(0.1, "0.1"), (np.float32(2), "2"), (None, ""), ("x", "x"), (3, "3")])
def test_text_of__facts(value, text):
    assert text_of(value) == text
    assert numbers(xr.DataArray([1, 2])).dtype == np.float64
