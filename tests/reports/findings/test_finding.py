import numpy as np
import pytest

import trajlab
from tests.reports.runs import moving
from trajlab.reports.findings import findings
from trajlab.reports.findings.finding import most_in
from trajlab.statistics.extremes import Extreme


def test_findings__put_the_first_nonfinite_step_first():
    values = np.ones((6, 3, 3))
    values[4:, 0, 0] = np.nan
    runs = {"good": moving(6, w=1.0), "bad": trajlab.from_arrays({"w": values})}

    first = findings(trajlab.run("drift", runs).compute())[0]

    assert first.alarm
    assert first.text == "NaN or Inf among the weights from step 4 on, first in `w` in run `bad`."


@pytest.mark.parametrize(
    ("here", "whole", "words"),
    [(1, 1, "in `w`"), (5, 5, "all of them in `w`"), (3, 5, "most of them in `w`"), (2, 5, "more of them in `w` than")],
)
def test_most_in__says_how_many_of_all(here, whole, words):
    assert most_in(Extreme(here, {"parameter": "w"}), Extreme(whole, {})).startswith(words)
