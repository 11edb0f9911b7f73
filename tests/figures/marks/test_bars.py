import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from tests.figures.axes import row_names
from trajlab.figures.marks.bars import stacked


def drawn(shares):
    array = xr.DataArray(shares, {"parameter": ["a", "b"], "cause": ["dead_unit", "static"]}, ("parameter", "cause"))
    ax = Figure((7, 3)).add_subplot()
    stacked(array, ax, parts="cause")
    return ax


def test_stacked__parts_follow_each_other_from_the_top():
    ax = drawn([[0.2, 0.3], [0.0, 1.0]])

    bars = [(bar.get_x(), bar.get_width(), bar.get_y() + bar.get_height() / 2) for bar in ax.patches]
    np.testing.assert_allclose(bars, [(0, 0.2, 0), (0, 0, 1), (0.2, 0.3, 0), (0, 1, 1)])
    assert row_names(ax) == ["a", "b"] and ax.get_ylim() == (1.5, -0.5)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["dead unit", "static"]


@pytest.mark.parametrize(
    ("shares", "end"),
    [([[0.1, 0.3], [0, 0]], 1.0), ([[0.1, 0.1], [0, 0]], 0.216), ([[0, 0], [0, 0]], 0.01), ([[np.nan, 0.4]] * 2, 1.0)],
)
def test_stacked__small_shares_are_enlarged(shares, end):
    assert drawn(shares).get_xlim() == pytest.approx((0, end))
