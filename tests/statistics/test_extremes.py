import numpy as np
import xarray as xr

from trajlab.reports.findings.evaluation import evaluation
from trajlab.statistics.extremes import last


def test_last__is_the_last_finite_value_of_each_run_and_lets_variables_be_joined():
    coords = {"step": [0, 5, 9], "stride": ("step", [0, 5, 4]), "run": ["fine", "diverged", "broken"]}
    loss = [[3.0, 2.0, 1.0], [3.0, np.nan, np.inf], [np.nan, np.nan, np.nan]]
    result = xr.Dataset({"loss": (("run", "step"), loss), "scored": (("run", "step"), np.full((3, 3), 7.0))}, coords)

    end = result.map(last)

    np.testing.assert_array_equal(end["loss"], [1, 3, np.nan])
    np.testing.assert_array_equal(end["scored"], [7, 7, 7])
    assert set(end.coords) == {"run"}


def test_evaluation__a_run_that_diverged_does_not_end_where_it_was_last_finite():
    dims = ("run", "step")
    result = xr.Dataset(
        {
            "loss": (dims, [[2.0, 1.0, 0.5], [2.0, 3.0, np.nan]]),
            "accuracy": (dims, [[0.1, 0.5, 0.9], [0.1, 0.2, np.nan]]),
            "nonfinite": (dims, [[0.0, 0.0, 0.0], [0.0, 0.0, 100.0]]),
        },
        {"run": ["calm", "wild"], "step": [0, 10, 20]},
    )
    said = [finding.text for finding in evaluation(result)]
    assert said == [
        "NaN or Inf among the outputs from step 20 on, first in run `wild`.",
        "The accuracy on the probe ends at 90 % in each run that did not diverge.",
    ]
