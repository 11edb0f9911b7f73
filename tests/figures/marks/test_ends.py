import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot
from matplotlib.figure import Figure

from trajlab.errors import BadSetting
from trajlab.figures.marks.ends import alone, grid, panel, rows_of

COUNTS = np.array([[[[2.0, 2.0]], [[9.0, 1.0]], [[1.0, 6.0]], [[np.nan, np.nan]]]])
"""(run, step, layer, bin); the last step was not recorded."""


def result(inits=("he",), layers=("fc",), edges=(0.0, 1.0, 3.0)):
    """Histograms of runs, a run for each init, in each of which and of layers they are the same."""
    shape = (len(inits), 4, len(layers), 2)
    return xr.Dataset(
        {
            "histogram": (("run", "step", "layer", "bin"), np.broadcast_to(COUNTS, shape)),
            "bin_edges": (("layer", "edge"), np.broadcast_to(edges, (len(layers), len(edges)))),
        },
        {"run": [f"run-{i}" for i in range(len(inits))], "init": ("run", list(inits)),
         "seed": ("run", list(range(len(inits)))), "step": [0, 5, 1000, 2000], "layer": list(layers)},
    )  # fmt: skip


def test_rows_of__the_first_run_of_each_group_or_else_every_run():
    assert rows_of(result(("he", "he", "xavier"))) == {"he": 0, "xavier": 2}
    assert list(rows_of(result(("he", "he"))).values()) == [0, 1]
    assert rows_of(result().isel(run=0)) == {"": None}
    many = list(rows_of(result([f"init-{i:02}" for i in range(20)])).values())
    assert many[0] == 0 and many[-1] == 19 and len(many) <= 8


def test_grid__draws_densities_of_the_first_and_last_recorded_step():
    figure = Figure((6, 3))
    ax = grid(result(("he", "he", "xavier"), ("fc", "head")), "layer", ["fc", "head"], figure)
    assert len(figure.axes) == 4 and ax is figure.axes[0]
    assert [axes.get_title() for axes in figure.axes] == ["fc", "head", "", ""]
    assert [axes.get_ylabel() for axes in figure.axes] == ["he", "", "xavier", ""]
    for axes in figure.axes:
        last, first = axes.patches
        np.testing.assert_allclose(last.get_data().values, [1 / 7, 3 / 7])
        np.testing.assert_allclose(first.get_data().values, [0.5, 0.25])
        assert axes.get_xlim() == (0, 3) and axes.get_ylim() == pytest.approx((0, 1.08 * 0.5))
    (legend,) = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    assert [text.get_text() for text in legend.get_texts()] == ["step 0", "step 1,000"]


def test_grid__bins_without_width_say_so():
    figure = Figure()
    ax = grid(result(edges=(1.0, 1.0, 1.0)), "layer", ["fc"], figure)
    assert [text.get_text() for text in ax.texts] == ["no spread"] and not ax.patches


def test_alone__takes_the_place_of_axes_that_are_part_of_a_grid():
    figure, (left, right) = pyplot.subplots(1, 2)
    alone(result(("he", "xavier")), "layer", ["fc"], right)
    assert left in figure.axes and right not in figure.axes and len(figure.axes) == 3
    with pytest.raises(BadSetting, match="cannot draw first_and_last on these axes; make them with subplots"):
        alone(result(), "layer", ["fc"], Figure().add_axes((0, 0, 1, 1)))


def test_panel__says_whose_run_is_shown_and_of_many_layers_shows_four():
    layers = [f"layers.{i}" for i in range(9)]
    shown = panel(result(("he", "xavier"), layers), "layer", layers, "weights")
    assert shown.key == "ends" and "weights" in shown.caption and "a row for each kind of run" in shown.caption
    assert "4 of 9 layers" in shown.caption and "of 1 layers" not in panel(result(), "layer", ["fc"], "weights").caption
    figure = Figure(shown.size)
    shown.draw(figure)
    assert [ax.get_title() for ax in figure.axes if ax.get_title()] == ["layers.0", "layers.3", "layers.6", "layers.8"]
    assert "a row for" not in panel(result(), "layer", ["fc"], "weights").caption
