import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from trajlab.figures.marks.colors import ON_DARK, ON_LIGHT
from trajlab.figures.zero_gradients import _matrix, panels, zero_gradients


def table(counts):
    states = ["near", "far"]
    return xr.DataArray(
        np.asarray(counts, float), {"state_prev": states, "state_next": states}, ("state_prev", "state_next")
    )


def test_matrix__writes_shares_of_each_row():
    ax = Figure().add_subplot()
    _matrix(table([[999, 1], [0, 0]]), ax)
    assert [text.get_text() for text in ax.texts] == ["100 %", "< 1 %", "–", "–"]
    assert [text.get_color() for text in ax.texts[:2]] == [ON_DARK, ON_LIGHT]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("next", "before")


@pytest.fixture
def result(study):
    import trajlab

    return trajlab.run("zero_gradients", study["adam-0"]).compute()


def test_zero_gradients__draws_a_map_a_table_or_causes(result):
    assert zero_gradients(result, ax=Figure().add_subplot()).collections
    ax = zero_gradients(result, variable="total_transitions", ax=Figure().add_subplot())
    assert ax.get_ylabel() == "before" and "|g|" in ax.get_title()
    causes = zero_gradients(result, variable="always_zero", ax=Figure().add_subplot())
    assert "without any gradient" in causes.get_xlabel()


def test_panels__of_one_tensor_have_no_map_and_no_causes(result):
    keys = ["near_zero", "total", "flow", "transitions", "always_zero"]
    assert [panel.key for panel in panels(result)] == keys
    alone = result.isel(parameter=0, drop=True).drop_vars([name for name in result if str(name).startswith("total_")])
    assert [panel.key for panel in panels(alone)] == ["total", "flow", "transitions"]
    flow = next(panel for panel in panels(result) if panel.key == "flow")
    drawing = Figure(flow.size)
    flow.draw(drawing)
    assert [text.get_text() for text in drawing.axes[0].get_legend().get_texts()] == ["captured", "released"]
