import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import trajlab
from trajlab.figures import figure, panels
from trajlab.reports.findings import findings, headlines


def walk(*places):
    return trajlab.from_arrays({"w": np.array(places, np.float32)})


@pytest.fixture
def three():
    """A control, a run that was moved a little, and one far away that went another way."""
    control = np.array([[[1.0, 0.0]], [[5.0, 0.0]]])
    runs = {"control": walk(*control), "moved": walk(*(control + 0.1)), "far": walk([[0.0, 9.0]], [[0.0, 1.0]])}
    return trajlab.run("comparison", runs).compute()


@pytest.fixture
def connected(three):
    """The same with losses along the lines: none rises but the one to the far run."""
    alpha = np.linspace(0, 1, 11)
    loss = xr.DataArray(np.full((3, 3, 11), 0.5), {"alpha": alpha}, ("run", "other", "alpha"))
    loss[[0, 2], [2, 0]] = 0.5 + np.sin(np.pi * alpha)
    barrier = (loss - 0.5).max("alpha").where(~np.eye(3, dtype=bool))
    return three.assign(line_loss=loss.where(barrier.notnull()), barrier=barrier)


def test_figure__of_few_runs_has_a_line_for_each_two(three):
    ax = figure(three)
    shown = [text.get_text() for text in ax.get_legend().get_texts()]
    assert shown == ["control – moved", "control – far", "moved – far"]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), three.total_relative_distance.sel(run="control", other="far"))
    assert ax.get_xlabel() == "step"


def test_figure__of_many_runs_has_the_mean_over_the_others():
    runs = {str(i): walk([[0.0, float(i)]], [[i, 1.0]]) for i in range(6)}
    result = trajlab.run("comparison", runs).compute()
    ax = figure(result)
    assert ax.get_title() == "mean over the other runs"
    np.testing.assert_allclose(ax.lines[2].get_ydata(), result.total_relative_distance.sel(run="2").mean("other"))


def test_figure__of_a_run_and_its_parent():
    result = trajlab.run(
        "comparison", walk([[0.0, 1.0]], [[1.0, 1.0]]), parent=walk([[0.0, 2.0]], [[1.0, 0.0]])
    ).compute()
    assert [text.get_text() for text in figure(result).get_legend().get_texts()] == ["parent"]
    assert [panel.key for panel in panels(result)] == ["distance"]
    assert any("the run and `parent`" in one.text.lower() for one in findings(result))


def test_figure__of_what_has_no_steps_is_a_matrix_of_runs_with_its_values(connected):
    ax = figure(connected, variable="barrier")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["control", "moved", "far"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["control", "moved", "far"]
    shown = np.ma.filled(ax.collections[0].get_array(), np.nan)
    np.testing.assert_array_equal(shown, connected.barrier)
    assert sorted(text.get_text() for text in ax.texts) == ["0"] * 4 + ["1"] * 2


def test_figure__along_lines_names_the_highest_barrier_first(connected):
    ax = figure(connected, variable="line_loss")
    assert ax.get_legend().get_texts()[0].get_text() == "control – far"
    assert max(ax.lines[0].get_ydata()) == 1.5
    assert {"barrier", "line_loss", "relative_distance", "update_cosine"} <= {one.key for one in panels(connected)}


def test_findings__say_who_is_near_who_is_connected_and_who_moved_alike(connected):
    texts = [one.text for one in findings(connected.assign_attrs(stage="comparison"))]
    assert texts[0].startswith("`control` and `moved` ended nearest: 2.8 %")
    assert texts[1].startswith("2 of 3 pairs of runs are linearly connected")
    assert "the highest barrier, 1 above the ends, lies between `control` and `far`" in texts[1]
    assert texts[2].startswith("No two runs moved in related directions")


def test_findings__of_one_pair_do_not_rank_it(connected):
    pair = connected.sel(run=["control", "far"], other=["control", "far"]).assign_attrs(stage="comparison")
    texts = [one.text for one in findings(pair)]
    assert texts[0].startswith("`control` and `far` ended ") and "nearest" not in texts[0]
    assert texts[1] == "`control` and `far` are not linearly connected: the highest barrier is 1 above the ends."


def test_findings__count_an_equal_copy_as_the_same_place():
    runs = {"a": walk([[1.0, 0.0]]), "b": walk([[1.0, 0.0]]), "c": walk([[2.0, 0.0]])}
    texts = [one.text for one in findings(trajlab.run("comparison", runs).compute())]
    assert texts[0].startswith("`a` and `b` ended in the same place, to the bit; ")


def test_headlines__are_means_over_the_other_runs(three):
    expected = three.total_relative_distance.isel(step=-1).mean("other")
    np.testing.assert_allclose(headlines(three)["relative_distance"], expected)


def test_findings__of_an_evaluation_say_who_is_best_and_whether_the_loss_rose():
    loss = xr.DataArray([[2.0, 0.5, 0.9], [2.0, 1.0, 0.8]], {"run": ["a", "b"], "step": [0, 5, 10]}, ("run", "step"))
    result = xr.Dataset({"loss": loss, "accuracy": 1 - loss / 2}, attrs={"stage": "evaluation"})
    texts = [one.text for one in findings(result)]
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
    assert text == (
        "Putting 50 % of the weights to 0 costs 5 points of accuracy at the end in run `r0`, 20 % at most one; "
        "most can be pruned in run `r1` (50 %)."
    )
    text = findings(pruned([0.9, 0.85, 0.3]))[-1].text
    assert text.endswith("at the end in run `r0`, 20 % at most one.")
    text = findings(pruned([0.7, 0.85, 0.3]).isel(run=0, drop=True))[-1].text
    assert text == "Putting 20 % of the weights to 0 costs 20 points of accuracy at the end, and less was not tried."
    text = findings(pruned([0.9, 0.9, 0.9]).isel(run=0, drop=True))[-1].text
    assert (
        text
        == "No pruning that was tried, of up to 80 % of the weights, costs more than a point of accuracy at the end."
    )


def test_findings__of_training_examples_say_how_large_the_gap_is():
    gap = xr.DataArray([[0.0, 0.034], [0.0, 0.01]], {"run": ["a", "b"], "step": [0, 5]}, ("run", "step"))
    result = xr.Dataset({"loss": 1 - gap, "accuracy": gap, "accuracy_gap": gap}, attrs={"stage": "evaluation"})
    texts = [one.text for one in findings(result)]
    assert (
        "Training examples are answered right 2.2 points more often than the probe at the end (median of the runs), "
        "with the largest gap in run `a` (3.4 points more)."
    ) in texts


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
    (panel,) = [
        panel for panel in panels(xr.Dataset(variables, attrs={"stage": "evaluation"})) if panel.key.startswith("train")
    ]
    drawing = Figure(panel.size)
    panel.draw(drawing)
    assert panel.title == f"Generalization gap of the {name}"
    np.testing.assert_array_equal(drawing.axes[0].get_lines()[0].get_ydata(), [0.0, 0.03])
