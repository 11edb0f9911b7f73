import numpy as np
import pytest
import xarray as xr

from trajlab.errors import BadSetting
from trajlab.figures import figure, save
from trajlab.schema import RESULT_VERSION


def result(channels, samples, steps=(0, 10), runs=("a", "b")):
    random = np.random.default_rng(0)
    dims, shape = ["run", "step", "sample"], [len(runs), len(steps), samples]
    if channels:
        dims, shape = [*dims, "channel"], [*shape, channels]
    values = random.uniform(size=(*shape, 4, 4))
    coords = {"run": list(runs), "step": list(steps), "sample": np.arange(samples)}
    attrs = {"Conventions": RESULT_VERSION, "variables": ["shown"]}
    return xr.Dataset({"shown": ((*dims, "y", "x"), values, {"long_name": "input"})}, coords, attrs)


def tiles(ax, rows, columns):
    """The tiles of a sheet, and the names above them."""
    drawn = ax.images[0].get_array()[..., :3]
    side = round(4 * 16)
    gap = (drawn.shape[1] - columns * side) // max(columns - 1, 1)
    return [[drawn[r * (side + gap) :, c * (side + gap) :][:side, :side] for c in range(columns)] for r in range(rows)]


def test_images__are_drawn_as_images_of_one_run_at_the_last_step():
    data = result(3, 5)
    ax = figure(data)
    assert ax.get_title() == "input; a, step 10" or ax.get_title() == "input; step 10, a"
    for sample, tile in enumerate(tiles(ax, 1, 5)[0]):
        image = np.moveaxis(data.shown.values[0, 1, sample], 0, -1)
        scaled = (image - image.min()) / (image.max() - image.min())
        np.testing.assert_allclose(tile[8::16, 8::16], scaled, atol=1e-12)


def test_images__of_one_sample_are_shown_over_the_steps():
    ax = figure(result(0, 5), sample="3", run="b")
    (top,) = [child for child in ax.child_axes]
    assert [tick.get_text() for tick in top.get_xticklabels()] == ["step 0", "step 10"]


def test_images__that_do_not_fit_are_counted(tmp_path):
    assert "72 of 80 samples" in figure(result(1, 80)).get_title()
    save(result(1, 80), tmp_path / "images.png", at={"step": "0"})
    with pytest.raises(BadSetting, match="class='1'.*dims"):
        save(result(1, 8), tmp_path / "other.png", at={"class": "1"})
