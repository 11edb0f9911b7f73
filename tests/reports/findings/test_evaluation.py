import numpy as np
import pytest
import xarray as xr

from tests.reports.runs import said
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


def test_loss__that_never_fell_rose_from_the_start():
    assert "The loss rose from the start: 3 to 8." in said(evaluated([3.0, 5.0, 8.0]))
    several = said(evaluated([[3, 5, 8], [2, 2.5, 3], [2, 1, 0.5], [2, 1, 1.5]]))
    assert "The loss rose from the start in 2 of 4 runs, most in run `a`: 3 to 8." in several
    assert "The loss rose again in run `d`: it was least at step 10 (1) and ends at 1.5." in several


def test_gap__is_the_largest_in_either_direction_with_its_sign():
    accuracy = np.full((2, 2), 0.5)
    result = evaluated([[1, 1], [1, 1]], accuracy=accuracy, accuracy_gap=[[0, -0.01], [0, -0.09]])

    (text,) = [text for text in said(result) if "training examples" in text]
    assert "5 points below" in text and "median of the runs" in text and "in run `b` (9 points below)" in text


@pytest.mark.parametrize(
    ("gaps", "wording"),
    [([0.002, -0.004], ""), ([0.02, -0.018], "within a point of that on the probe (median of the runs)")],
)
def test_gap__below_a_point_is_not_told(gaps, wording):
    result = evaluated(
        [[1, 1], [1, 1]], accuracy=np.full((2, 2), 0.5), accuracy_gap=np.array([[0, gap] for gap in gaps])
    )

    stated = [text for text in said(result) if "training examples" in text]
    assert len(stated) == bool(wording)
    assert all(wording in text for text in stated)


@pytest.mark.parametrize(
    ("shares", "lowest", "highest"),
    [
        ([0, 0, 0, 0, 0.5, 0.2], "lowest on 4 of 6 classes, 0 %", "highest on class 4, 50 %"),
        ([0.3, 0.3, 0.9, 1], "lowest on classes 0 and 1, 30 %", "highest on class 3, 100 %"),
        ([0.999, 1], "lowest on class 0, 99.9 %", "highest on class 1, 100 %"),
        ([1, 1], "", ""),
    ],
)
def test_classes__that_are_worst_together_are_told_together(shares, lowest, highest):
    array = xr.DataArray([[0.0] * len(shares), shares], {"step": [0, 10]}, ("step", "class"))
    result = evaluated([2, 1]).assign(class_accuracy=array.assign_coords({"class": range(len(shares))}))

    texts = [text for text in said(result) if "lowest" in text]
    assert len(texts) == bool(lowest)
    assert all(lowest in text and highest in text for text in texts)


def unlike():
    """An evaluation of two kinds of runs, two seeds each."""
    result = evaluated(np.ones((4, 2)), accuracy=[[0, 0.9], [0, 0.8], [0, 0.2], [0, 0.4]])
    return result.assign_coords(variant=("run", ["x", "x", "y", "y"]), seed=("run", [0, 1, 0, 1]))


def test_runs__that_are_unlike_are_told_of_by_their_kind():
    text = said(unlike())[0]
    assert "best with `x` (85 %)" in text and "worst with `y` (30 %; medians" in text
    alike = said(unlike().drop_vars("variant"))[0]
    assert "best in run `a` (90 %), worst in run `c` (20 %)" in alike


def test_groups__are_none_where_no_runs_are_alike():
    ends = unlike()["accuracy"].isel(step=-1)

    assert by_group(ends) == pytest.approx({"x": 0.85, "y": 0.3})
    assert by_group(ends.isel(run=[0, 2])) == by_group(ends.isel(run=[0, 1])) == {}
    assert by_group(ends.where(ends["variant"] == "x")) == {}
