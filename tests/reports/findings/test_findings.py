"""Sentences say what holds, of the runs that it holds for."""

import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.reports.findings import findings, headlines
from trajlab.statistics.extremes import by_group


def evaluated(loss, **others):
    """The result of an evaluation of runs named a, b, …, ([run, ]step)."""
    arrays = {"loss": loss} | others
    over = ("run", "step")[-np.ndim(loss) :]
    result = xr.Dataset({name: (over, np.asarray(values, float)) for name, values in arrays.items()})
    coords = {"step": 10 * np.arange(np.shape(loss)[-1])} | (
        {"run": list("abcdef"[: len(loss)])} if len(over) > 1 else {}
    )
    return result.assign_coords(coords).assign_attrs(stage="evaluation")


def _said(result):
    return [one.text for one in findings(result)]


def test_loss__that_never_fell_rose_from_the_start():
    assert "The loss rose from the start: 3 to 8." in _said(evaluated([3.0, 5.0, 8.0]))
    several = _said(evaluated([[3, 5, 8], [2, 2.5, 3], [2, 1, 0.5], [2, 1, 1.5]]))
    assert "The loss rose from the start in 2 of 4 runs, most in run `a`: 3 to 8." in several
    assert "The loss rose again in run `d`: it was least at step 10 (1) and ends at 1.5." in several


def test_gap__is_the_largest_in_either_direction_with_its_sign():
    accuracy = np.full((2, 2), 0.5)
    result = evaluated([[1, 1], [1, 1]], accuracy=accuracy, accuracy_gap=[[0, -0.01], [0, -0.09]])

    assert (
        "Training examples are answered right 5 points less often than the probe at the end (median of the runs), "
        "with the largest gap in run `b` (9 points less)."
    ) in _said(result)


@pytest.mark.parametrize(
    ("gaps", "said"),
    [([0.002, -0.004], ""), ([0.02, -0.018], "about as often as the probe at the end (median of the runs)")],
)
def test_gap__below_a_point_is_not_told(gaps, said):
    result = evaluated(
        [[1, 1], [1, 1]], accuracy=np.full((2, 2), 0.5), accuracy_gap=np.array([[0, gap] for gap in gaps])
    )

    told = [text for text in _said(result) if "Training examples" in text]
    assert len(told) == bool(said)
    assert all(said in text for text in told)


@pytest.mark.parametrize(
    ("shares", "lowest", "highest"),
    [
        ([0, 0, 0, 0, 0.5, 0.2], "4 of 6 classes are worst at the end: 0 % of their", "50 % of those of class 4"),
        ([0.3, 0.3, 0.9, 1], "Classes 0 and 1 are worst at the end: 30 % of their", "100 % of those of class 3"),
        ([0.999, 1], "Class 0 is worst at the end: 99.9 % of its", "100 % of those of class 1"),
        ([1, 1], "", ""),
    ],
)
def test_classes__that_are_worst_together_are_told_together(shares, lowest, highest):
    array = xr.DataArray([[0.0] * len(shares), shares], {"step": [0, 10]}, ("step", "class"))
    result = evaluated([2, 1]).assign(class_accuracy=array.assign_coords({"class": range(len(shares))}))

    assert [text for text in _said(result) if "worst" in text] == (
        [f"{lowest} targets are answered right, {highest}."] if lowest else []
    )


def unlike():
    """An evaluation of two kinds of runs, two seeds each."""
    result = evaluated(np.ones((4, 2)), accuracy=[[0, 0.9], [0, 0.8], [0, 0.2], [0, 0.4]])
    return result.assign_coords(variant=("run", ["x", "x", "y", "y"]), seed=("run", [0, 1, 0, 1]))


def test_runs__that_are_unlike_are_told_of_by_their_kind():
    assert _said(unlike())[0] == (
        "The accuracy on the probe ends best with `x` (85 %), worst with `y` (30 %; medians of runs that differ in "
        "their seed)."
    )
    alike = _said(unlike().drop_vars("variant"))[0]
    assert "best in run `a` (90 %), worst in run `c` (20 %)" in alike


def test_groups__are_none_where_no_runs_are_alike():
    ends = unlike()["accuracy"].isel(step=-1)

    assert by_group(ends) == pytest.approx({"x": 0.85, "y": 0.3})
    assert by_group(ends.isel(run=[0, 2])) == by_group(ends.isel(run=[0, 1])) == {}
    assert by_group(ends.where(ends["variant"] == "x")) == {}


def test_overlaps__of_unlike_runs_are_told_by_their_kind():
    overlap = np.array([0.5, 0.5, 0.3, 0.3])[:, None, None, None] * np.ones((4, 2, 3, 1))
    coords = {"run": list("abcd"), "step": [0, 10], "map": ["grad_cam"]}
    kinds = {"variant": ("run", ["x", "x", "y", "y"]), "seed": ("run", [0, 1, 0, 1])}
    result = xr.Dataset({"attention_iou": (("run", "step", "sample", "map"), overlap)}, coords | kinds)

    assert (
        "Grad-CAM of the class told and the masks have an attention IoU of 0.5 with `x` to 0.3 with `y` at the end "
        "(medians of runs that differ in their seed, means of the samples)."
    ) in _said(result.assign_attrs(stage="attribution", objective="predicted_logit"))
    named = headlines(result.assign_attrs(stage="attribution"))["attention_iou"]
    assert named.attrs["long_name"].endswith(", Grad-CAM")


def test_filters__of_several_runs_are_not_told_by_their_numbers():
    ways = np.array([[0.1, 0.13, 0.02], [0.099, 0.03, 0.05]])
    relative = xr.DataArray(
        np.stack([np.zeros((2, 3)), ways]), {"step": [0, 10], "run": ["a", "b"]}, ("step", "run", "filter")
    )
    result = xr.Dataset({"relative": relative}, attrs={"stage": "filters", "parameter": "conv"})

    assert _said(result) == [
        "Within each run, the filter of `conv` that changed most changed by 13 % and 9.9 % of its norm at step 0, "
        "the least by 2.0 % and 3.0 %."
    ]
    assert _said(result.isel(run=0))[0].startswith("Filter 1 of `conv` changed most: by 13 %")


def test_tensors__that_shifted_no_more_than_chance_are_not_told():
    values = np.random.default_rng(0).normal(size=144)
    again = values[::-1].reshape(12, 12) + 1e-4
    run = trajlab.from_arrays({"w": np.stack([values.reshape(12, 12), again])})

    result = trajlab.run("distribution", run).compute()

    assert 0 < float(result["ks"].isel(step=-1, parameter=0)) <= float(result["ks_null"].isel(step=-1, parameter=0))
    assert "No tensor shifted from the start beyond chance." in _said(result)


def test_medians__are_of_the_runs_that_have_a_value():
    line = np.linspace(0, 1, 3)[:, None, None] * np.ones((1, 3, 3))
    runs = {"a": 1 + line, "b": 1 + 2 * line, "zero": line}
    result = trajlab.run("drift", {name: trajlab.from_arrays({"w": own}) for name, own in runs.items()}).compute()

    assert "(median of 2 runs)" in _said(result)[0]


def test_lines__tell_of_the_run_in_which_the_fewest_cross():
    crossing = xr.DataArray([[1, 1], [1, 1], [1, 0.9]], {"run": ["a", "b", "c"], "step": [0, 5]}, ("run", "step"))
    result = xr.Dataset({"fraction_crossing": crossing}, attrs={"stage": "unit_lines", "parameter": "fc"})

    assert _said(result) == [
        "In the median run the lines of all units of `fc` cross the picture at every step shown; the fewest do in run "
        "`c` at step 5: 90 %; the others are on, or off, on all of it."
    ]


def test_distances__are_named_after_what_they_are_taken_from():
    line = np.linspace(1, 2, 3)[:, None, None] * np.ones((1, 3, 3))
    run = trajlab.from_arrays({"w": line})
    named = {
        reference: headlines(trajlab.run("drift", run, reference=reference).compute())["relative"].attrs["long_name"]
        for reference in (0, 1)
    }

    assert [name.removeprefix("whole network: ") for name in named.values()] == [
        "relative distance from the start",
        "relative distance from step 1",
    ]
