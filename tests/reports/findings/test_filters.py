import numpy as np
import xarray as xr

import trajlab
from tests.reports.runs import said
from trajlab.reports.findings import findings


def test_findings__say_which_filter_changed_most_and_least():
    kernels = np.ones((2, 3, 1, 2, 2))
    kernels[1] *= np.array([1.1, 3.0, 1.5])[:, None, None, None]
    result = trajlab.run("filters", trajlab.from_arrays({"conv.weight": kernels})).compute()

    said = [finding.text for finding in findings(result)]

    assert said == ["Filter 1 of `conv.weight` changed most: by 200 % of its norm at step 0; filter 0 least, by 10 %."]
    kernels[1, 0] = np.nan
    broken = trajlab.run("filters", trajlab.from_arrays({"conv.weight": kernels})).compute()
    assert findings(broken)[0].text == "NaN or Inf among the weights from step 1 on."


def test_filters__of_several_runs_are_not_told_by_their_numbers():
    ways = np.array([[0.1, 0.13, 0.02], [0.099, 0.03, 0.05]])
    relative = xr.DataArray(
        np.stack([np.zeros((2, 3)), ways]), {"step": [0, 10], "run": ["a", "b"]}, ("step", "run", "filter")
    )
    result = xr.Dataset({"relative": relative}, attrs={"stage": "filters", "parameter": "conv"})

    assert said(result) == [
        "Within each run, the filter of `conv` that changed most changed by 13 % and 9.9 % of its norm at step 0, "
        "the least by 2.0 % and 3.0 %."
    ]
    assert said(result.isel(run=0))[0].startswith("Filter 1 of `conv` changed most: by 13 %")


def test_filters__of_a_frozen_layer_did_not_change():
    result = trajlab.run("filters", trajlab.from_arrays({"conv.weight": np.ones((2, 3, 1, 2, 2))})).compute()
    assert said(result) == ["No filter of `conv.weight` ever changed."]
