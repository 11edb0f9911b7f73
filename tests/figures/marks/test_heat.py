"""Heat maps show the steps that there are, and no others."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from trajlab.figures.marks import multiples
from trajlab.figures.marks.heat import FEW, heat
from trajlab.figures.marks.labels import value_axis
from trajlab.figures.marks.lines import lines
from trajlab.figures.marks.scale import scale_for


def rows(steps, **coords):
    """Two rows over steps."""
    values = np.arange(2.0 * len(steps)).reshape(2, -1) + 1
    return xr.DataArray(values, {"parameter": ["a", "b"], "step": steps} | coords, ("parameter", "step"))


def _draw(array, **options):
    ax = Figure((7, 3)).add_subplot()
    heat(array, ax, **options)
    return ax


def test_heat__gives_few_steps_columns_of_one_width_with_their_names():
    ax = _draw(rows([0, 10, 100, 5000]))

    assert ax.get_xlim() == (-0.5, 3.5)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "10", "100", "5,000"]
    assert ax.get_xlabel() == "step"


def test_heat__names_as_many_steps_as_fit_and_the_last():
    ax = Figure((2, 3)).add_subplot()
    heat(rows(np.arange(FEW) * 1_000_000), ax, bar=False)

    named = [label.get_text() for label in ax.get_xticklabels()]
    assert 2 <= len(named) < FEW
    assert (named[0], named[-1]) == ("0", "11,000,000")


@pytest.mark.parametrize("gap", [1, 7])
def test_heat__of_many_steps_begins_with_the_first_and_ends_with_the_last(gap):
    steps = 3 + np.arange(FEW + 1) * gap

    ax = _draw(rows(steps))

    assert ax.get_xlim() == (steps[0], steps[-1])
    assert all(steps[0] <= tick <= steps[-1] for tick in ax.get_xticks())


def test_lines__name_no_step_beyond_their_ends():
    ax = Figure((7, 3)).add_subplot()
    lines(rows(np.arange(8, 493)).isel(parameter=0, drop=True), ax)
    ax.set_xlim(0, 600)

    assert {8, 492} <= set(ax.get_xticks())
    assert all(8 <= tick <= 492 for tick in ax.get_xticks())


def test_multiples__show_the_same_steps_of_runs_that_end_early():
    runs = xr.concat([rows([0, 1, 2, 3]), rows([0, 1, 2, 3])], xr.Variable("run", ["a", "b"]))
    runs = runs.where((runs["run"] == "a") | (runs["step"] < 2)).where(runs["step"] > 0)
    drawing = Figure((9, 3), layout="constrained")

    multiples.multiples(runs, drawing)

    shown = [ax.collections[0].get_array() for ax in drawing.axes[:2]]
    assert [one.shape for one in shown] == [(2, 3), (2, 3)]
    assert np.ma.getmaskarray(shown[1])[0].tolist() == [False, True, True]
    assert [label.get_text() for label in drawing.axes[0].get_xticklabels()] == ["1", "2", "3"]


def test_scales__reach_far_enough_that_small_differences_look_small():
    array = rows([0, 1]) / 1000 + 1

    assert scale_for(array, center=1.0).norm.vmax == pytest.approx(1.004)
    near, far = (scale_for(one, center=1.0, reach=0.1).norm for one in (array, array + 1))
    assert (near.vmin, near.vmax) == pytest.approx((0.9, 1.1))
    assert far.vmax == pytest.approx(2.004)


@pytest.mark.parametrize(("factor", "whole"), [(1, True), (0.5, False)])
def test_axes__of_counts_have_no_ticks_between_them(factor, whole):
    ax = Figure().add_subplot()
    ax.set_ylim(0, 2)
    value_axis(ax.yaxis, factor * rows([0, 1]))

    assert all(tick == round(tick) for tick in ax.get_yticks()) == whole


def test_multiples__say_what_gray_is():
    array = rows([0, 1])

    assert multiples.panel("x", "X", "Some.", array).caption == "Some."
    assert multiples.panel("x", "X", "Some.", array.where(array > 1)).caption == "Some. Gray: not known."
    own = multiples.panel("x", "X", "Some.", array.where(array > 1), unknown="Gray: none.")
    assert own.caption == "Some. Gray: none."


@pytest.mark.parametrize(("tops", "log"), [([1, 1.5, 2, 12], True), ([1, 2, 3, 4], False), ([1, 12], False)])
def test_scales__are_stretched_where_a_row_towers_above_the_others(tops, log):
    values = np.array(tops)[:, None] * np.array([0.5, 1.0])
    array = xr.DataArray(values, {"parameter": list("abcd")[: len(tops)], "step": [0, 1]}, ("parameter", "step"))
    drawing = Figure((9, 3), layout="constrained")

    multiples.multiples(array, drawing)

    norm = drawing.axes[0].collections[0].norm
    assert isinstance(norm, LogNorm) == log
    assert norm.vmax == max(tops)
    assert not isinstance(scale_for(array - 3, rows="parameter").norm, LogNorm)
    assert not isinstance(scale_for((2 * array).round(), rows="parameter").norm, LogNorm)
