import numpy as np
import xarray as xr

from trajlab.reports.curves import curves
from trajlab.statistics.prepare import prepare


def test_curves__are_the_medians_over_the_runs_at_each_step():
    loss = [[4.0, 2.0, np.nan], [5.0, 1.0, np.nan], [9.0, 0.5, np.nan]]
    data = {"loss": (("run", "step"), loss), "size": ("step", [1, 2, 3]), "depth": ((), 4.0)}
    result = prepare(xr.Dataset(data, {"run": ["a", "b", "c"], "step": [0, 10, 30]}, {"stage": "unheard"}))
    assert curves({"scores": result}) == {"scores": b"step,loss,size\n0,5.0,1.0\n10,1.0,2.0\n30,,3.0\n"}


def test_curves__a_total_and_layers_that_are_not_summed_up():
    """Of drift the totals are the headlines, in their order; variables of parameters are none."""
    data = {
        "total_path_length": ("step", [0.0, 0.5]),
        "total_relative": ("step", [0.0, 0.25]),
        "relative": (("parameter", "step"), [[0.0, 7.0]]),
    }
    result = prepare(xr.Dataset(data, {"parameter": ["w"], "step": [0, 1]}, {"stage": "drift"}))
    assert curves({"drift": result}) == {"drift": b"step,relative,path_length\n0,0.0,0.0\n1,0.25,0.5\n"}


def test_curves__there_is_none_without_steps():
    over_none = prepare(xr.Dataset({"depth": ((), 4.0)}, attrs={"stage": "unheard"}))
    of_no_step = prepare(xr.Dataset({"loss": ("step", [])}, {"step": []}, {"stage": "unheard"}))
    assert curves({"a": over_none, "b": of_no_step}) == {}
