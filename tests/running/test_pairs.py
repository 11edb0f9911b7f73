import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.errors import BadSetting, MissingInput
from trajlab.running.inputs import Inputs
from trajlab.running.pairs import call_for_pairs, compares


def gap(weights, other_weights, parent_weights=None):
    """Subtract."""
    return xr.Dataset({"gap": weights["w"].isel(step=0).sum() - other_weights["w"].isel(step=0).sum()})


def run(value):
    return trajlab.from_arrays({"w": np.full((1, 1), float(value))})


def pairs(runs, parent=None, stage=gap, **settings):
    return call_for_pairs(stage, Inputs(stage.__name__), runs, parent, settings)


def test_call_for_pairs__calls_each_two_once_and_leaves_a_run_with_itself_unknown():
    result = pairs({"a": run(1), "b": run(10), "c": run(100)})
    nan = np.nan
    np.testing.assert_array_equal(result.gap, [[nan, -9, -99], [-9, nan, -90], [-99, -90, nan]])
    assert result.run.values.tolist() == result.other.values.tolist() == ["a", "b", "c"]


def test_call_for_pairs__with_a_parent_has_a_column_for_it():
    result = pairs({"a": run(1), "b": run(10)}, run(1000))
    assert result.other.values.tolist() == ["a", "b", "parent"] and result.run.values.tolist() == ["a", "b"]
    assert result.gap.sel(other="parent").values.tolist() == [-999, -990]
    alone = pairs(run(1), run(1000))
    assert alone.gap.dims == ("other",) and alone.gap.values.tolist() == [-999]


def test_call_for_pairs__says_what_it_lacks():
    with pytest.raises(MissingInput, match="gap needs two runs") as error:
        pairs({"a": run(1)})
    assert error.value.reason == "there is one run"
    with pytest.raises(BadSetting, match="'parent', too; rename"):
        pairs({"parent": run(1)}, run(2))


def test_call_for_pairs__lines_end_where_the_setting_says():
    seen = []

    def line(weights, other_weights, between_weights, between_metrics, *, ends="shared"):
        seen.append(between_weights["w"].values.ravel()[[0, -1]].tolist())
        return xr.Dataset({"x": between_metrics.ends})

    one = trajlab.from_arrays({"w": np.array([[1.0], [2.0]])}, steps=[0, 5])
    other = trajlab.from_arrays({"w": np.array([[7.0], [8.0]])}, steps=[0, 9])
    pairs({"a": one, "b": other}, stage=line)
    pairs({"a": one, "b": other}, stage=line, ends="own")
    assert seen == [[1, 7], [2, 8]]


def test_compares__stages_that_ask_for_another_run():
    assert compares(gap) and not compares(lambda weight, parent_weight: 0)
