import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from tests.figures.axes import row_names
from trajlab.figures import figure, panels
from trajlab.stages import stage


@pytest.fixture
def lives():
    """Unit 0 lives on, 1 dies late, 2 early and comes back, 3 is dead from the start, and 4 is not there."""
    alive = np.ones((6, 1, 5))
    alive[4:, :, 1] = alive[1:3, :, 2] = alive[:, :, 3] = 0
    alive[:, :, 4] = np.nan
    relu = xr.DataArray(alive, {"step": 10 * np.arange(6)}, ("step", "sample", "unit"))
    return stage("dead_neurons")({"relu": relu}).compute().assign_attrs(stage="dead_neurons")


def test_dead_neurons__lives_are_sorted_by_the_first_death(lives):
    ax = figure(lives, variable="dead")

    assert row_names(ax) == ["3", "2", "1"]
    assert ax.get_title() == "relu, 3 of 4 units ever dead"
    shown = np.ma.filled(ax.collections[0].get_array(), -1)
    np.testing.assert_array_equal(shown == 3, [[1] * 6, [0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1]])


def test_dead_neurons__where_no_unit_dies_all_lives_are_drawn(lives):
    ax = figure(lives.isel(unit=[0, 0]), variable="dead")
    assert len(row_names(ax)) == 2 and "0 of 2 units ever dead" in ax.get_title()


def test_dead_neurons__survival_is_drawn_in_steps(lives):
    (panel,) = [panel for panel in panels(lives) if panel.key == "survival"]
    drawing = Figure(panel.size)
    panel.draw(drawing)
    (line,) = drawing.axes[0].get_lines()
    assert line.get_drawstyle() == "steps-post"
    np.testing.assert_allclose(line.get_ydata(), lives.survival[:, 0])
