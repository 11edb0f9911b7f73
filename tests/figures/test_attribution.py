import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from torch import nn

import trajlab
from trajlab.errors import BadSetting
from trajlab.figures import figure, panels
from trajlab.replays.probe_batches import as_probe
from trajlab.reports.findings import findings, headlines


def network():
    return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))


def run_of(net, probe, steps=3, seed=0):
    rng = np.random.default_rng(seed)
    weights = {
        name: rng.standard_normal((steps, *value.shape)).astype(np.float32)
        for name, value in net().state_dict().items()
    }
    return trajlab.from_arrays(weights, steps=10 * np.arange(steps)).with_model(net, probe=as_probe(probe))


@pytest.fixture(scope="module")
def probe():
    rng = np.random.default_rng(0)
    return rng.standard_normal((6, 1, 4, 4)).astype(np.float32), np.array([0, 1, 0, 1, 0, 1])


@pytest.fixture(scope="module")
def result(probe):
    return trajlab.run("attribution", run_of(network, probe), ascent_steps=2).compute()


@pytest.fixture(scope="module")
def study(probe):
    runs = {f"run-{seed}": run_of(network, probe, seed=seed) for seed in range(2)}
    return trajlab.run("attribution", runs, ascent_steps=2).compute()


def drawn(result):
    for panel in panels(result):
        drawing = Figure(panel.size, layout="constrained")
        panel.draw(drawing)
        drawing.canvas.draw()
        assert any(ax.has_data() for ax in drawing.axes), panel.key
    return [panel.key for panel in panels(result)]


def words(labels):
    return [label.get_text() for label in labels]


def test_attribution__shows_samples_with_what_they_are_taken_for(result):
    shown = result.assign(predicted=result.predicted.copy(), adversarial_predicted=result.adversarial_predicted.copy())
    shown.predicted[-1], shown.adversarial_predicted[-1] = [1, 1], [0, np.nan]

    ax = figure(shown)

    assert words(ax.get_yticklabels()) == ["input", "gradient", "Grad-CAM", "adversarial"]
    assert words(ax.child_axes[0].get_xticklabels()) == ["0 → 1", "1"]
    assert words(ax.get_xticklabels()) == ["0", "–"]
    assert ax.get_title().startswith("step 20")
    assert figure(shown, step=10).get_title().startswith("step 10")


def test_attribution__shows_a_sample_over_the_steps(result):
    ax = figure(result, sample=1)
    assert words(ax.child_axes[0].get_xticklabels()) == ["step 0", "step 10", "step 20"]
    assert words(ax.get_yticklabels()) == ["gradient", "Grad-CAM", "adversarial"]
    assert ax.get_title() == f"sample {result.sample_index[1].item()} of the probe"


@pytest.mark.parametrize("variable", ["grad_cam", "input_gradient"])
def test_attribution__shows_maps_of_runs_that_differ_in_more_than_their_seed(result, study, variable):
    kinds = xr.concat([study, study], "run").assign_coords(run=list("abcd"), init=("run", list("xyxy")))

    ax = figure(kinds, variable=variable)
    assert words(ax.child_axes[0].get_xticklabels()) == ["0", "1"]
    assert words(ax.get_yticklabels()) == ["input", "x", "y"]
    assert ax.get_title().endswith(", step 20")
    assert words(figure(kinds, variable=variable, run="b").get_yticklabels())[1:] == ["step 0", "step 10", "step 20"]
    assert words(figure(result, variable=variable, step=10).get_yticklabels()) == ["input", "step 10"]
    assert drawn(kinds)[:3] == ["samples", "runs", "steps"]


def test_attribution__shows_the_mean_overlap_of_the_samples(result, study):
    assert len(figure(study, variable="attention_iou_prev").lines) == 2
    np.testing.assert_allclose(
        figure(result, variable="attention_iou_prev").lines[1].get_ydata(),
        result.attention_iou_prev.sel(map="grad_cam").mean("sample").values[1:],
    )


def test_attribution__of_many_samples_shows_the_first(result):
    many = xr.concat([result] * 9, "sample", data_vars="minimal")
    assert len(figure(many).child_axes[0].get_xticks()) == 12


@pytest.mark.parametrize("variable", ["maximum_response", "activation_map"])
def test_attribution__shows_units_over_the_steps(result, study, variable):
    ax = figure(result, variable=variable)
    assert words(ax.child_axes[0].get_xticklabels()) == ["unit 0", "unit 1", "unit 2"]
    assert words(ax.get_yticklabels()) == ["step 0", "step 10", "step 20"]
    assert figure(study, variable=variable, run="run-1").get_title() == "0 run-1"


def test_attribution__of_one_run_and_of_several_all_panels_can_be_drawn(result, study):
    keys = ["samples", "steps", "maximum_response", "activation_map", "adversarial_accuracy", "attention_iou_prev"]
    assert drawn(result) == drawn(study) == keys
    assert "Run run-0." in panels(study)[0].caption


def test_attribution__of_broken_numbers_is_drawn(result):
    assert "samples" in drawn(result.where(False).assign(sample_index=result.sample_index, image=result.image))


def test_attribution__of_vectors_is_drawn_as_numbers(probe):
    net = lambda: nn.Sequential(nn.Linear(16, 5), nn.ReLU(), nn.Linear(5, 2))  # noqa: E731
    actual = trajlab.run("attribution", run_of(net, (probe[0].reshape(6, 16), probe[1])), ascent_steps=0).compute()
    assert drawn(actual) == ["adversarial_accuracy", "attention_iou_prev"]
    assert figure(actual).get_ylabel().startswith("accuracy")
    assert figure(actual, variable="input_gradient").has_data()


def test_attribution__without_targets_shows_inputs_and_units(probe):
    actual = trajlab.run("attribution", run_of(network, probe[0]), ascent_steps=1).compute()
    assert drawn(actual) == ["samples", "maximum_response", "activation_map"]
    assert words(figure(actual).child_axes[0].get_xticklabels())[:2] == ["#0", "#1"]


def test_attribution__of_a_variable_that_is_not_there_is_told(result):
    with pytest.raises(BadSetting, match="the result has"):
        figure(result, variable="attention")


def test_findings__tell_what_attacks_leave_and_whether_maps_stay(result):
    shown = result.assign(
        adversarial_accuracy=(("step", "epsilon"), np.outer([0.1, 0.2, 1.0], [0.9, 0.8, 0.7, 0.5, 0.25])),
        noise_accuracy=(("step", "epsilon"), np.outer([0.1, 0.2, 1.0], [0.9, 0.9, 0.88, 0.87, 0.8])),
        attention_iou_prev=(("step", "sample", "map"), np.array([np.nan, 0.2, 0.4]).repeat(4).reshape(3, 2, 2)),
        attention_iou=(("step", "sample", "map"), np.array([0.1, 0.2, 0.3]).repeat(4).reshape(3, 2, 2)),
    )
    texts = [finding.text for finding in findings(shown)]

    assert "25 % under the attack with ε = 0.4, 90 % without it, 80 % after random steps" in texts[0]
    without = findings(shown.drop_vars("noise_accuracy"))[0].text
    assert without.endswith("25 % under the attack with ε = 0.4, 90 % without it.")
    assert "Grad-CAM of the label and the masks have an attention IoU of 0.3 at the end, of 0.1 at step 0" in texts[2]
    assert texts[3] == (
        "Grad-CAM at steps 10 and 20 overlaps by 0.4, least at steps 0 and 10, by 0.2 "
        "(attention IoU, mean of the samples)."
    )
    assert headlines(shown)["adversarial_accuracy"].item() == 0.25
    assert headlines(shown)["attention_iou"].item() == pytest.approx(0.3)


def test_findings__of_several_runs_name_the_hardest_and_the_softest(study):
    shown = study.assign(
        adversarial_accuracy=(("run", "step", "epsilon"), np.array([0.5, 0.25]).repeat(15).reshape(2, 3, 5))
    )
    texts = " ".join(finding.text for finding in findings(shown))
    assert "highest in run `run-0` (50 %) and lowest in run `run-1` (25 %)" in texts
    np.testing.assert_array_equal(headlines(shown)["adversarial_accuracy"], [0.5, 0.25])


def test_findings__count_units_whose_input_never_changed(result):
    still = result.maximum_response.copy()
    still[:, 1] = still[0, 1]
    texts = [finding.text for finding in findings(result.assign(maximum_response=still))]
    assert any("1 of 3 units of `0` are identical at all steps" in text for text in texts)
    assert not any("identical" in sentence.text for sentence in findings(result))


def test_findings__nan_is_an_alarm(result):
    broken = result.assign(nonfinite=xr.Variable("step", [0, 4, 4]))
    assert findings(broken)[0].alarm and "from step 10 on" in findings(broken)[0].text


def test_overlaps__of_several_runs_have_a_panel_for_each_map(study):
    (panel,) = [panel for panel in panels(study) if panel.key == "attention_iou_prev"]
    drawing = Figure(panel.size, layout="constrained")

    panel.draw(drawing)

    assert [ax.get_title() for ax in drawing.axes] == ["input gradient", "Grad-CAM"]
    expected = study.attention_iou_prev.sel(map="grad_cam").mean("sample").isel(run=1).values[1:]
    np.testing.assert_allclose(drawing.axes[1].lines[1].get_ydata(), expected)
