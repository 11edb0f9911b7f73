import pytest
from matplotlib.figure import Figure

from trajlab.figures.marks.canvas import canvas, tall


def test_canvas__takes_axes_or_makes_a_figure_of_the_size():
    ax = Figure().add_subplot()
    assert canvas(ax) is ax
    assert canvas(None, height=2.0, width=3.0).figure.get_size_inches().tolist() == [3, 2]


@pytest.mark.parametrize(("rows", "inches"), [(0, 1.6), (10, 2.4), (1000, 8.0)])
def test_tall__grows_with_rows_between_limits(rows, inches):
    assert tall(rows) == pytest.approx(inches)
