import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from tests.figures.axes import row_names
from trajlab.figures.marks.labels import (
    height_of,
    name_of,
    name_rows,
    power_of_ten,
    shorten,
    shorten_to,
    step_axis,
    title_of,
    value_axis,
    width_of,
    wrap,
)


def axes(width=7.0, height=3.0):
    return Figure((width, height)).add_axes((0, 0, 1, 1))


@pytest.mark.parametrize(("factor", "whole"), [(1, True), (0.5, False)])
def test_axes__of_counts_have_no_ticks_between_them(factor, whole):
    ax = Figure().add_subplot()
    ax.set_ylim(0, 2)
    value_axis(ax.yaxis, factor * xr.DataArray([[1.0, 2.0], [3.0, 4.0]]))

    assert all(tick == round(tick) for tick in ax.get_yticks()) == whole


@pytest.mark.parametrize(
    ("name", "attrs", "expected"),
    [
        ("update_ratio", {}, "update ratio"),
        (None, {}, "value"),
        ("x", {"long_name": "norm", "units": "1"}, "norm"),
        ("x", {"long_name": "entries in a bin", "units": "entries"}, "entries in a bin"),
        ("x", {"long_name": "norm", "units": "weight", "total": True}, "whole network: norm [weight]"),
    ],
)
def test_titles__have_a_unit_where_they_do_not_name_it(name, attrs, expected):
    array = xr.DataArray(0.0, name=name, attrs=attrs)
    assert title_of(array) == expected and name_of(array) == expected.removeprefix("whole network: ")


def test_shorten__keeps_the_end_which_tells_layers_apart():
    name = "encoder.layers.11.attention.query.weight"
    assert shorten(name, 13) == "…query.weight" and len(shorten(name)) == 26
    assert shorten("fc.weight", 9) == "fc.weight"
    assert shorten_to(axes(1.0), name) == "….query.weight" and shorten_to(axes(9.0), name) == name


def test_wrap__breaks_a_title_at_blanks():
    assert wrap("standard deviation of the activations", 1.0) == "standard\ndeviation of\nthe activations"
    assert wrap("norm", 0.1) == "norm"


def test_sizes_of_axes__are_in_inches():
    ax = axes(4.0, 2.0)
    assert (width_of(ax), height_of(ax)) == pytest.approx((4.0, 2.0))


def test_name_rows__names_as_many_as_there_is_room_for():
    ax = axes(height=1.0)
    name_rows(ax, [f"layer{i}" for i in range(20)])
    assert row_names(ax) == [f"layer{i}" for i in range(0, 20, 3)] and ax.get_yticks().tolist() == [*range(0, 20, 3)]
    name_rows(ax, ["a", "b"], [1.5, 4.0])
    assert (row_names(ax), ax.get_yticks().tolist()) == (["a", "b"], [1.5, 4.0])
    name_rows(ax, [])
    assert row_names(ax) == []


@pytest.mark.parametrize(
    ("steps", "scale"),
    [
        ([0, 1, 2, 4, 8, 16, 1000], "symlog"),
        ([0, 10, 20, 30], "linear"),
        ([0, 1000], "linear"),
        ([5], "linear"),
        ([-1000, 0, 1, 2, 3], "linear"),
    ],
)
def test_step_axis__is_logarithmic_where_steps_lie_ever_further_apart(steps, scale):
    ax = axes()
    step_axis(ax, np.array(steps))
    ax.set_xlim(steps[0], steps[-1] + (len(steps) == 1))
    assert (ax.get_xscale(), ax.get_xlabel()) == (scale, "step")
    assert ax.xaxis.get_major_formatter()(12345.0) == "12,345"
    assert scale == "symlog" or {steps[0], steps[-1]} <= set(ax.get_xticks())


@pytest.mark.parametrize(
    ("value", "words"), [(1e-5, "10⁻⁵"), (1e7, "10⁷"), (1e-3, "0.001"), (1000, "1000"), (0.2, "0.2"), (2e-7, "2e-07")]
)
def test_power_of_ten__is_written_without_markup(value, words):
    assert power_of_ten(value) == words


def test_value_axis__of_shares_is_in_per_cent():
    ax = axes()
    value_axis(ax.yaxis, xr.DataArray([0.5], attrs={"share": True}))
    assert ax.yaxis.get_major_formatter()(0.125) == "12.5 %"


@pytest.mark.parametrize(("low", "high"), [(6, 18), (1.1, 1.9), (3, 40), (0.01, 900), (2.1, 10.2)])
def test_value_axis__of_logarithms_has_two_labels_at_least(low, high):
    ax = axes()
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    value_axis(ax.yaxis, xr.DataArray([1.0]), log=True)
    ticks = [tick for tick in ax.get_yticks() if low <= tick <= high]
    assert len(ticks) >= 2 and len({power_of_ten(tick) for tick in ticks}) == len(ticks)
    ax.figure.canvas.draw()  # also a tick that the locator sets at 0


def test_power_of_ten__has_no_text_at_zero():
    assert power_of_ten(0.0) == ""
