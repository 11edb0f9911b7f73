import numpy as np
import xarray as xr

from trajlab.reports.findings import findings
from trajlab.stages import stage


def test_findings__say_what_feeds_a_layer_without_a_name_of_its_own():
    dead = xr.DataArray([[0.0, 0.0], [0.5, 0.0]], dims=("step", "layer"), coords={"step": [0, 1]})
    result = xr.Dataset({"fraction_dead": dead}, {"layer": ["11", "relu"], "source": ("layer", ["10", "fc"])})

    texts = [finding.text for finding in findings(result.assign_attrs(stage="dead_neurons"))]

    assert texts == ["`11` (fed by `10`) has the largest share of units dead at the end: 50 %."]


def test_findings__of_lives_add_up():
    codes = {"always": [1, 1, 1, 1], "born": [1, 0, 0, 0], "died": [0, 1, 1, 1], "back": [0, 1, 0, 0],
             "again": [0, 1, 0, 1], "never": [0, 0, 0, 0]}  # fmt: skip
    alive = 1.0 - np.array([codes[name] for name in codes], float).T[:, None]
    run = xr.DataArray(alive, {"step": [0, 5, 10, 15]}, ("step", "sample", "unit"))

    result = stage("dead_neurons")({"relu": run}).compute().assign_attrs(stage="dead_neurons")
    texts = [finding.text for finding in findings(result)]

    assert texts[0] == "At the end 50 % of the units are dead."
    assert texts[3:5] == [
        "5 of the 6 units were dead at some snapshot: 1 at every one, 1 only until they first became active and 3 "
        "after they had been active.",
        "Of the 3 units that died after having been active, 2 came back to life, and 2 were dead at the end, 1 of them "
        "after coming back.",
    ]
    assert texts[-1] == "In `relu` the largest share of units ever died after having been active: 50 %."
