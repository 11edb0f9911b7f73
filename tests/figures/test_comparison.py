import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.figures import figure, panels
from trajlab.reports.findings import findings, headlines


def walk(*position):
    return trajlab.from_arrays({"w": np.array(position, np.float32)})


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
    assert any("the run and `parent`" in finding.text.lower() for finding in findings(result))


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
    assert {"barrier", "line_loss", "relative_distance", "update_cosine"} <= {panel.key for panel in panels(connected)}


def test_findings__say_who_is_near_who_is_connected_and_who_moved_alike(connected):
    texts = [finding.text for finding in findings(connected.assign_attrs(stage="comparison"))]
    assert texts[0].startswith("`control` and `moved` ended nearest: 2.8 %")
    assert texts[1].startswith("2 of 3 pairs of runs are linearly connected")
    assert "the highest barrier, 1 above the ends, lies between `control` and `far`" in texts[1]
    assert texts[2].startswith("No two runs moved in related directions")


def test_findings__of_one_pair_do_not_rank_it(connected):
    pair = connected.sel(run=["control", "far"], other=["control", "far"]).assign_attrs(stage="comparison")
    texts = [finding.text for finding in findings(pair)]
    assert texts[0].startswith("`control` and `far` ended ") and "nearest" not in texts[0]
    assert texts[1] == "`control` and `far` are not linearly connected: the highest barrier is 1 above the ends."


def test_findings__count_an_equal_copy_as_the_same_place():
    runs = {"a": walk([[1.0, 0.0]]), "b": walk([[1.0, 0.0]]), "c": walk([[2.0, 0.0]])}
    texts = [finding.text for finding in findings(trajlab.run("comparison", runs).compute())]
    assert texts[0].startswith("`a` and `b` ended with identical weights; ")


def test_headlines__are_means_over_the_other_runs(three):
    expected = three.total_relative_distance.isel(step=-1).mean("other")
    np.testing.assert_allclose(headlines(three)["relative_distance"], expected)
