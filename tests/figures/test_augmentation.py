import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from trajlab.figures import figure, panels, save
from trajlab.reports.findings import findings, headlines
from trajlab.stages.augmentation import MEANINGS

STEPS = [0, 10, 20, 30]


def described(result, meanings, stage):
    for name, array in result.data_vars.items():
        meaning = meanings[name.removeprefix("total_")]
        array.attrs = {"long_name": meaning.long_name, "units": meaning.units}
    return result.assign_attrs(stage=stage)


def shown(ax):
    return np.ma.filled(ax.collections[0].get_array().astype(float), np.nan)


@pytest.fixture
def copies(rng):
    invariance = np.array([[0.1, 0.2], [0.1, 0.4], [0.1, 0.5], [0.1, 0.7]])
    layers = {"step": STEPS, "layer": ["a", "b"]}
    dims = ("step", "layer", "original")
    result = xr.Dataset(
        {
            "invariance": (("step", "layer"), invariance),
            "total_invariance": ("step", invariance.mean(1)),
            "copies_signed": (dims, rng.random((4, 2, 3))),
            "others_signed": (dims, rng.random((4, 2, 3))),
            "nonfinite": (("step", "layer"), np.zeros((4, 2))),
            "sample_correlation": (("step", "copy", "copy_other"), rng.uniform(-1, 1, (4, 12, 12))),
            "position": ("original", [0, 4, 9]),
            "examples": (("original", "example", "channel", "y", "x"), rng.random((3, 5, 3, 6, 7))),
        },
        layers,
    )
    result["sample_correlation"][1:3] = np.nan
    return described(result, MEANINGS, "augmentation").assign_attrs(matrix_layer="b")


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("runs", [1, 2])
def test_panels__draw_all_there_is(copies, channels, runs):
    copies = copies.isel(channel=slice(channels))
    if runs == 2:
        copies = xr.concat([copies, copies], "run").assign_coords(run=np.array(["one", "two"], dtype=object))
    actual = panels(copies)
    assert [panel.key for panel in actual] == ["invariance", "copies", "sample_correlation", "examples"]
    for panel in actual:
        drawing = Figure(panel.size, layout="constrained")
        panel.draw(drawing)
        drawing.canvas.draw()
        assert any(ax.has_data() for ax in drawing.axes)


def test_figure__is_the_invariance_over_the_steps(copies):
    ax = figure(copies)
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), copies.invariance[:, 1])
    assert ax.get_xlabel() == "step"


def test_figure__of_examples_is_a_sheet(copies, tmp_path):
    ax = figure(copies, variable="examples")
    picture = ax.images[0].get_array()
    assert picture.shape == (3 * 7 - 1, 5 * 8 - 1, 4)
    np.testing.assert_allclose(picture[7:13, 8:15, :3], np.moveaxis(copies.examples[1, 1].values, 0, -1))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["sample 0", "sample 4", "sample 9"]
    assert save(copies, tmp_path / "sheet.png", variable="examples").stat().st_size > 1000


def test_figure__of_copies_parts_the_images(copies):
    ax = figure(copies, variable="sample_correlation")
    assert ax.get_title() == "step 30" and [label.get_text() for label in ax.get_xticklabels()] == ["0", "4", "9"]
    np.testing.assert_allclose(shown(ax), copies.sample_correlation[-1])


def test_findings__say_which_layer_is_invariant_and_learned_it(copies):
    texts = [finding.text for finding in findings(copies)]
    text = "At the end the invariance of `b` to augmentation is 0.7, the most of all layers; that of `a` is the least,"
    assert texts[0] == f"{text} 0.1."
    assert texts[1] == "It rose most in `b`: from 0.2 at step 0 to 0.7."
    assert list(headlines(copies)) == ["invariance"]
