import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from trajlab.figures import figure, panels
from trajlab.reports.findings import findings, headlines
from trajlab.stages.correlation import MEANINGS, correlation

STEPS = [0, 10, 20, 30]


@pytest.fixture
def result(rng):
    """Two layers of which the second comes to its features late, and whose samples are of two classes."""
    early, late = rng.standard_normal((2, 40, 3)), rng.standard_normal((4, 40, 2))
    a = np.stack([early[0]] * 4)
    b = np.stack([late[0], late[1], late[3] + 0.05 * late[2], late[3]])
    b[:, :, 1] = b[:, :, 0] * [[1], [1], [1], [-1]]
    arrays = {
        name: xr.DataArray(values, {"step": STEPS}, ("step", "sample", "unit")) for name, values in (("a", a), ("b", b))
    }
    probe = xr.Dataset({"inputs": ("sample", np.zeros(40)), "targets": ("sample", np.arange(40) % 2)})
    return correlation(lambda **_: arrays, probe, matrix_layer="a").compute().assign_attrs(stage="correlation")


@pytest.fixture
def study(result):
    return xr.concat([result, result], "run").assign_coords(run=np.array(["one", "two"], dtype=object))


def shown(ax):
    return np.ma.filled(ax.collections[0].get_array().astype(float), np.nan)


def test_figure__is_the_cka_of_layers_at_the_last_step(result):
    ax = figure(result)
    np.testing.assert_allclose(shown(ax), result.cka[-1])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]
    assert ax.get_title() == "step 30" and ax.collections[0].get_clim() == (0, 1)
    np.testing.assert_allclose(shown(figure(result, step=10)), result.cka[1])


def test_figure__of_signed_means_diverges_from_zero(study):
    ax = figure(study, variable="signed_off_diagonal")
    low, high = ax.collections[0].get_clim()
    assert low == -high and high == pytest.approx(abs(study.signed_off_diagonal.isel(run=0, step=-1)).max().item())
    assert ax.get_title() == "step 30, mean of 2 runs"


def test_figure__sorts_samples_by_class(result):
    ax = figure(result, variable="sample_correlation")
    order = np.argsort(np.arange(40) % 2, kind="stable")
    np.testing.assert_allclose(shown(ax), result.sample_correlation[-1].values[np.ix_(order, order)])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1"]
    assert len(ax.lines) == 2 and ax.lines[0].get_ydata()[0] == 19.5
    assert ax.get_xlabel() == "sample, by class"


def test_figure__of_others_goes_over_the_steps(result):
    ax = figure(result, variable="cka_end")
    assert ax.get_xlabel() == "step"


@pytest.mark.parametrize("runs", [1, 2])
def test_panels__draw_all_there_is(result, study, runs):
    actual = panels(result if runs == 1 else study)
    expected = {"cka", "signed_off_diagonal", "absolute_off_diagonal", "cka_end", "cka_start", "own_end"}
    assert {panel.key for panel in actual} == expected | {
        "feature_correlation", "feature_cosine", "feature_values", "sample_correlation",
    }  # fmt: skip
    for panel in actual:
        drawing = Figure(panel.size, layout="constrained")
        panel.draw(drawing)
        drawing.canvas.draw()
        assert any(ax.has_data() for ax in drawing.axes)
    grid = next(panel for panel in actual if panel.key == "feature_correlation")
    drawing = Figure(grid.size)
    grid.draw(drawing)
    assert [ax.get_title() for ax in drawing.axes][:2] == ["step 0", "step 30"]


def test_panels__of_one_layer_have_no_squares_of_layers(result):
    one = result.isel(layer=[0], layer_other=[0])
    assert not {"cka", "signed_off_diagonal"} & {panel.key for panel in panels(one)}


def test_findings__say_what_is_alike_redundant_and_settled(result):
    texts = [finding.text for finding in findings(result)]
    assert texts[0].startswith("The CKA of `a` and `b` is ")
    text = "`b` is the most redundant layer at the end: the mean |ρ| of two of its features is 1, at step 0 it is 1."
    assert texts[1] == text
    assert texts[2].startswith("`a` settles first and `b` last: ") and texts[2].endswith(
        "from step 0 and 20 on, respectively."
    )
    assert len(texts) == 3


def test_findings__of_several_layers_name_the_nearest_two(result):
    cka = np.array([[1, 0.5, 0.9], [0.5, 1, 0.2], [0.9, 0.2, 1]])
    names = {"layer": [0, 1, 0], "layer_other": [0, 1, 0]}
    three = result.isel(names).assign_coords(dict.fromkeys(names, list("abc")))
    three["cka"] = (("step", "layer", "layer_other"), np.stack([cka] * 4))
    (actual,) = [finding for finding in findings(three) if "most alike" in finding.text]
    assert actual.text.startswith("At the end `a` and `c` are the two layers that are most alike: their CKA is 0.9, ")
    assert actual.text.endswith("that of `b` and `c`, which are least alike, 0.2.")


def test_findings__count_features_that_do_not_vary_and_broken_activations(result):
    constant, broken = result.constant.copy(), result.nonfinite.copy()
    constant[-1, 1], broken[2:, 0] = 2, 5
    features = result.features.copy()
    features[-1, 1] = 3
    texts = [
        finding.text for finding in findings(result.assign(constant=constant, nonfinite=broken, features=features))
    ]
    assert texts[0].startswith("NaN or Inf among the activations from step 20 on, first in `a`")
    assert texts[-1] == "2 features of the 5 of `b` do not vary over the probe at the end, the most of all layers."


def test_headlines__are_of_the_whole_network(result, study):
    assert list(headlines(result)) == ["signed_off_diagonal", "absolute_off_diagonal", "constant"]
    assert headlines(study)["absolute_off_diagonal"].shape == (2,)


def test_meanings__are_of_all_variables(result):
    assert set(result.data_vars) <= set(MEANINGS) | {f"total_{name}" for name in MEANINGS}
