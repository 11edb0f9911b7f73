import numpy as np
import pytest
import xarray as xr

pytest.importorskip("bokeh", reason="the page needs trajlab[explore]")

from tests.explorer.test_samples import shown  # noqa: E402
from trajlab.explorer.views.tile_sheet import TILE_PIXELS, rgba  # noqa: E402


@pytest.fixture
def attribution():
    maps = np.zeros((2, 3, 4, 4))
    maps[1, 0, 0, 0] = 1
    return xr.Dataset(
        {"sample_index": ("sample", [4, 5, 9]), "image": (("sample", "channel", "y", "x"), np.ones((3, 1, 4, 4))),
         "target": ("sample", [0, 1, 2]), "grad_cam": (("step", "sample", "map_y", "map_x"), maps),
         "activation_map": (("step", "unit", "map_y", "map_x"), maps)},
        {"step": [0, 10]}, {"stage": "attribution", "layer": "conv1", "map_sample": 1},
    )  # fmt: skip


def test_each_sample_has_a_row_and_each_step_a_column_which_selects_it(attribution):
    view = shown(attribution)
    sheet = view.maps.drawn.figure
    data = next(r for r in sheet.renderers).data_source.data
    assert data["row"][::3] == ["sample 4 · 0", "sample 5 · 1", "sample 9 · 2"]
    assert data["column"][:3] == ["input", "step 0", "step 10"]
    corner = data["image"][2][0, 0], data["image"][2][-1, -1]
    assert corner[0] != corner[1]  # the first row is the upper one, and hot in its corner
    assert data["y"][:3] == [0, 0, 0] and data["y"][-1] == 2
    units = view.activations.drawn.figure
    for figure in (sheet, units):
        assert figure.sizing_mode is None and figure.frame_width == TILE_PIXELS * len(figure.xaxis[0].ticker.ticks)
    assert "sample 5" in units.title.text.text and len(next(r for r in units.renderers).data_source.data["row"]) == 6


def test_inputs_that_are_no_images_have_no_sheet(attribution):
    flat = attribution.drop_vars(["image", "grad_cam", "activation_map"]).assign(
        image=(("sample", "feature"), np.ones((3, 2)))
    )
    view = shown(flat)
    assert view.maps.drawn is None and view.activations.drawn is None


def test_colors_are_32_bits():
    assert hex(rgba(np.array([[[1.0, 0.5, 0.0]]]))[0, 0]) == "0xff0080ff"
    assert rgba(np.zeros((2, 3, 3))).shape == (2, 3)
