import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from trajlab.figures.marks.colors import DIVERGING, INK, PAPER
from trajlab.figures.marks.matrix import MOST, both_ways, from_zero, matrix, square, squares, up_to_one, written
from trajlab.figures.marks.scale import Scale, scale_for


def of_runs(values, **attrs):
    names = [f"he-run{i}-0" for i in range(len(values))]
    return xr.DataArray(values, {"run": names, "other": names}, ("run", "other"), attrs=attrs)


def drawn(draw, *arguments, **options):
    ax = Figure((6, 5)).add_subplot()
    draw(arguments[0], ax, *arguments[1:], **options)
    return ax


def test_matrix__writes_known_values_in_ink_on_bright_and_paper_on_dark_cells():
    ax = drawn(matrix, of_runs([[np.nan, 1.0], [3.14159, np.nan]]))

    assert [(text.get_position(), text.get_text()) for text in ax.texts] == [((1, 0), "1"), ((0, 1), "3.14")]
    assert [text.get_color() for text in ax.texts] == [PAPER, INK]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["run0-0", "run1-0"]


def test_matrix__of_many_runs_has_colors_alone():
    assert not drawn(matrix, of_runs(np.ones((MOST + 1, MOST + 1)))).texts


@pytest.mark.parametrize(
    ("values", "attrs", "words"),
    [([1e-6, 1e-3, 10.0], {}, ["1e-06", "1e-03", "10"]), ([0.12345, 1.0], {"share": True}, ["12.3 %", "100 %"])],
)
def test_written__fits_into_a_cell(values, attrs, words):
    array = xr.DataArray(values, attrs=attrs)
    scale = scale_for(array)
    assert isinstance(scale.norm, LogNorm) == ("share" not in attrs)
    assert [written(array, scale, value) for value in values] == words


def test_square__sorts_by_group_and_draws_lines_between():
    array = xr.DataArray(np.arange(9.0).reshape(3, 3), dims=("sample", "sample_other"))

    ax = drawn(square, array, Scale(*up_to_one(array)), groups=np.array([5, 2, 5]))

    assert ax.collections[0].get_array().tolist() == [[4, 3, 5], [1, 0, 2], [7, 6, 8]]
    assert [line.get_ydata()[0] for line in ax.lines if line.get_ydata()[0] == line.get_ydata()[1]] == [0.5]
    assert ax.get_xticks().tolist() == [0, 1.5] and ax.get_xlabel() == "sample, by class"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["2", "5"]


def test_square__names_layers_and_counts_units():
    names = ["conv", "a.very.long.name.of.a.layer"]
    layers = xr.DataArray(np.eye(2), {"layer": names, "layer_other": names}, ("layer", "layer_other"))
    ax = drawn(square, layers, from_zero(), bar=False)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["conv", "…name.of.a.layer"]
    assert len(ax.figure.axes) == 1
    units = xr.DataArray(np.eye(2), dims=("unit", "unit_other"))
    assert drawn(square, units, from_zero()).get_ylabel() == "unit"


def test_squares__share_a_scale_and_the_names_of_rows():
    parts = {name: xr.DataArray(np.eye(2) * size, dims=("unit", "unit_other")) for name, size in (("a", 1), ("b", 2))}
    figure = Figure((6, 3))

    squares(parts, figure, from_zero())

    first, second, _ = figure.axes
    assert (first.get_title(), second.get_title(), second.get_ylabel()) == ("a", "b", "")
    assert first.collections[0].get_clim() == second.collections[0].get_clim() == (0, 1)


@pytest.mark.parametrize(
    ("values", "low"), [([0.5, 0.9], 0.5), ([-0.1, 0.9], -1.0), ([1.0, 1.0], 0.0), ([np.nan], 0.0), ([], 0.0)]
)
def test_up_to_one__ends_at_1(values, low):
    scale = up_to_one(xr.DataArray(np.asarray(values, float)))
    assert (scale.norm.vmin, scale.norm.vmax) == (low, 1.0) and (scale.colors is DIVERGING) == (low < 0)


@pytest.mark.parametrize(("reach", "end"), [(2.0, 2.0), (0.0, 1.0), (np.nan, 1.0), (np.inf, 1.0)])
def test_both_ways__has_zero_in_the_middle(reach, end):
    norm = both_ways(reach).norm
    assert (norm.vmin, norm.vmax) == (-end, end) and norm(0.0) == 0.5
