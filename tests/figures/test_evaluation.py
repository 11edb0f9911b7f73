import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from trajlab.figures import panels
from trajlab.reports.findings import findings


def test_findings__of_an_evaluation_say_who_is_best_and_whether_the_loss_rose():
    loss = xr.DataArray([[2.0, 0.5, 0.9], [2.0, 1.0, 0.8]], {"run": ["a", "b"], "step": [0, 5, 10]}, ("run", "step"))
    result = xr.Dataset({"loss": loss, "accuracy": 1 - loss / 2}, attrs={"stage": "evaluation"})
    texts = [finding.text for finding in findings(result)]
    assert texts[0].startswith("The accuracy on the probe ends at 57 % in the median run, best in run `b` (60 %)")
    assert texts[1] == "The loss rose again in run `a`: it was least at step 5 (0.5) and ends at 0.9."


def pruned(*runs):
    """Results of `evaluation` of runs that end at 90 %, and at these accuracies after pruning 20, 50 and 80 %."""
    accuracy = np.array(runs)
    tolerated, kept = np.cumprod(accuracy >= 0.89, axis=1).sum(1), [0.0, 0.2, 0.5, 0.8]
    over = ("run", "step", "threshold")
    return xr.Dataset(
        {
            "accuracy": (over[:2], np.full((len(runs), 2), [0.5, 0.9])),
            "loss": (over[:2], np.ones((len(runs), 2))),
            "pruned_accuracy": (over, np.stack([accuracy / 2, accuracy], axis=1)),
            "pruned_share": (over, np.broadcast_to([0.2, 0.5, 0.8], (len(runs), 2, 3)).copy()),
            "prunable_share": (over[:2], np.stack([np.zeros(len(runs)), [kept[count] for count in tolerated]], axis=1)),
        },
        {
            "run": [f"r{i}" for i in range(len(runs))], "step": [0, 10], "threshold": [0.1, 0.2, 0.4],
            "threshold_kind": ("threshold", ["absolute"] * 3),
        },
        {"stage": "evaluation"},
    )  # fmt: skip


def test_findings__of_pruning_say_where_the_accuracy_falls():
    text = findings(pruned([0.9, 0.85, 0.3], [0.9, 0.9, 0.4]))[-1].text
    assert "50 % of the weights costs 5 points" in text and "in run `r0`, 20 % at most one" in text
    assert "most can be pruned in run `r1` (50 %)" in text
    text = findings(pruned([0.9, 0.85, 0.3]))[-1].text
    assert text.endswith("at the end in run `r0`, 20 % at most one.")
    text = findings(pruned([0.7, 0.85, 0.3]).isel(run=0, drop=True))[-1].text
    assert "20 % of the weights costs 20 points" in text and "less was not tested" in text
    text = findings(pruned([0.9, 0.9, 0.9]).isel(run=0, drop=True))[-1].text
    assert text.startswith("No tested pruning, of up to 80 %")


def test_findings__of_training_examples_say_how_large_the_gap_is():
    gap = xr.DataArray([[0.0, 0.034], [0.0, 0.01]], {"run": ["a", "b"], "step": [0, 5]}, ("run", "step"))
    result = xr.Dataset({"loss": 1 - gap, "accuracy": gap, "accuracy_gap": gap}, attrs={"stage": "evaluation"})
    texts = [finding.text for finding in findings(result)]
    (text,) = [text for text in texts if "training examples" in text]
    assert "2.2 points above" in text and "in run `a` (3.4 points above)" in text


def test_figure__of_pruning_draws_accuracy_against_the_share_that_is_pruned():
    result = pruned([0.9, 0.85, 0.3], [0.9, 0.9, 0.4])
    (panel,) = [panel for panel in panels(result) if panel.key == "pruning"]
    drawing = Figure(panel.size)
    panel.draw(drawing)
    steps, runs = drawing.axes
    assert [line.get_label() for line in steps.get_lines()] == ["step 0", "step 10"]
    np.testing.assert_allclose(runs.get_lines()[1].get_xydata(), [[0, 0.9], [0.2, 0.9], [0.5, 0.9], [0.8, 0.4]])
    np.testing.assert_allclose(steps.get_lines()[1].get_ydata(), [0.9, 0.9, 0.875, 0.35])


@pytest.mark.parametrize("name", ["accuracy", "loss"])
def test_figure__of_training_examples_is_the_gap(name):
    gap = xr.DataArray([0.0, 0.03], {"step": [0, 5]}, "step", attrs={"long_name": "gap"})
    variables = {"loss": gap, f"train_{name}": gap, f"{name}_gap": gap}
    (panel,) = [panel for panel in panels(xr.Dataset(variables, attrs={"stage": "evaluation"})) if panel.key == "gap"]
    drawing = Figure(panel.size)
    panel.draw(drawing)
    assert panel.title == f"Generalization gap of the {name}"
    np.testing.assert_array_equal(drawing.axes[0].get_lines()[0].get_ydata(), [0.0, 0.03])


def test_figure__of_token_frequency_names_the_rows():
    losses = xr.DataArray([[2.0, 1.0, np.nan]], {"step": [0], "occurrences": [1, 2, 4]}, ("step", "occurrences"))
    result = xr.Dataset({"loss": ("step", [1.5]), "frequency_loss": losses}, attrs={"stage": "evaluation"})
    (panel,) = [panel for panel in panels(result) if panel.key == "frequency_loss"]
    drawing = Figure(panel.size)
    panel.draw(drawing)
    assert [label.get_text() for label in drawing.axes[0].get_yticklabels()] == ["once", "2 to 3 times"]
    unknown = result.assign(frequency_loss=losses * np.nan)
    assert "frequency_loss" not in [panel.key for panel in panels(unknown)]
