import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from trajlab.figures.attribution.sheets import (
    is_image,
    kinds_of_runs,
    maps_sheet,
    rows_of,
    samples_sheet,
    sheet_size,
    units_sheet,
)


def result(**more):
    """Return two samples of 2×2 pixels at two steps, with their labels and predictions."""
    over = ("step", "sample", "y", "x")
    maps = np.arange(16.0).reshape(2, 2, 2, 2)
    arrays = {
        "image": (over[1:], np.arange(8.0).reshape(2, 2, 2)), "grad_cam": (over, maps),
        "input_gradient": (over, maps - 8),
        "predicted": (over[:2], [[1.0, np.nan], [1.0, 2.0]]),
    }  # fmt: skip
    coords = {"step": [0, 1500], "target": ("sample", [1, 5]), "sample_index": ("sample", [4, 9])}
    return xr.Dataset(arrays | more, coords)


def named(ax):
    (top,) = ax.child_axes
    return [label.get_text() for label in top.get_xticklabels()], [label.get_text() for label in ax.get_yticklabels()]


def test_samples_sheet__names_labels_and_predictions_that_differ():
    ax = Figure((9, 4)).add_subplot()
    samples_sheet(result(), ax)
    assert named(ax) == (["1", "5 → 2"], ["input", "gradient", "Grad-CAM"]) and ax.get_title().startswith("step 1,500")
    ax = Figure((9, 4)).add_subplot()
    samples_sheet(result(), ax, step=0)
    assert named(ax)[0] == ["1", "5 → –"]
    samples_sheet(result().drop_vars("target"), ax := Figure((9, 4)).add_subplot())
    assert named(ax)[0] == ["#4", "#9"]


def test_maps_sheet__of_one_run_has_a_row_for_each_step_and_of_kinds_one_each():
    ax = maps_sheet(result(), "grad_cam", Figure((9, 4)).add_subplot())
    assert named(ax) == (["1", "5"], ["input", "step 0", "step 1,500"]) and ax.get_title() == "Grad-CAM"
    runs = xr.concat([result()] * 3, "run").assign_coords(
        run=["a", "b", "c"], init=("run", ["x", "x", "y"]), seed=("run", [0, 1, 0])
    )
    assert kinds_of_runs(runs) == {"x": 0, "y": 2} and kinds_of_runs(result()) == {}
    assert named(maps_sheet(runs, "grad_cam", Figure((9, 4)).add_subplot()))[1] == ["input", "x", "y"]


def test_units_sheet__of_single_maps_has_a_column_for_each_unit():
    units = xr.Dataset(
        {"activation": (("step", "unit", "y", "x"), np.full((2, 3, 2, 2), np.nan))},
        {"step": [0, 5], "unit": [0, 7, 9]},
        {"layer": "conv"},
    )
    ax = Figure((9, 4)).add_subplot()
    units_sheet(units, "activation", ax)
    assert named(ax) == (["unit 0", "unit 7", "unit 9"], ["step 0", "step 5"]) and ax.get_title() == "conv"


def test_rows_of__leave_out_grad_cam_of_what_is_no_image():
    flat = result().isel(x=0, drop=True)
    assert rows_of(result()) == ["image", "input_gradient", "grad_cam"] and rows_of(flat) == ["image", "input_gradient"]
    assert is_image(result()["image"]) and not is_image(flat["image"])


@pytest.mark.parametrize(("shape", "rows", "columns", "height"), [((3, 4, 4), 1, 8, 1.75), ((100, 4), 9, 1, 7.0)])
def test_sheet_size__is_as_high_as_its_tiles_up_to_a_page(shape, rows, columns, height):
    assert sheet_size(shape, rows, columns) == pytest.approx((9.2, height), rel=0.05)
