import numpy as np
import xarray as xr

import trajlab
from tests.reports.runs import said
from trajlab.reports.findings import findings


def test_findings__say_how_many_units_switch_in_the_picture():
    weight, bias = np.ones((2, 4, 2)), np.array([[0.0, 0, 0, 0], [0, 9, 9, 9]])
    run = trajlab.from_arrays({"fc.weight": weight, "fc.bias": bias}, steps=[0, 50])

    said = [finding.text for finding in findings(trajlab.run("unit_lines", run).compute())]
    still = trajlab.from_arrays({"fc.weight": weight})

    assert said == [
        "The lines of 100 % of the units of `fc.weight` cross the picture at step 0, of 25 % at step 50; "
        "the others are on, or off, on all of it."
    ]
    text = "The lines of all units of `fc.weight` cross the picture at every step shown."
    assert [sentence.text for sentence in findings(trajlab.run("unit_lines", still).compute())] == [text]


def test_lines__tell_of_the_run_in_which_the_fewest_cross():
    crossing = xr.DataArray([[1, 1], [1, 1], [1, 0.9]], {"run": ["a", "b", "c"], "step": [0, 5]}, ("run", "step"))
    result = xr.Dataset({"fraction_crossing": crossing}, attrs={"stage": "unit_lines", "parameter": "fc"})

    assert said(result) == [
        "In the median run the lines of all units of `fc` cross the picture at every step shown; the fewest do in run "
        "`c` at step 5: 90 %; the others are on, or off, on all of it."
    ]
