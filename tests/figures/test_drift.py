import numpy as np

import trajlab
from tests.figures.axes import row_names
from trajlab.figures import figure


def test_drift__leaves_out_what_started_at_zero():
    line = np.linspace(0, 1, 4)[:, None, None] * np.ones((1, 3, 3))
    runs = {name: trajlab.from_arrays({"w": 1 + line, "mixed": line + i, "zero": line}) for i, name in enumerate("ab")}

    ax = figure(trajlab.run("drift", runs).compute())

    assert row_names(ax) == ["w", "mixed"]
    assert ax.get_title() == "mean of 2 runs, without 1 that started at zero"
    assert ax.collections[0].get_array()[1, -1] == 1.0


def test_figure__draws_the_causes_of_a_single_parameter(study):
    ax = figure(trajlab.run("drift", study).compute(), variable="unchanged_cause", parameter="fc.weight")

    assert row_names(ax) == ["fc.weight"]
