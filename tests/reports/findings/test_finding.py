import numpy as np

import trajlab
from tests.reports.runs import moving
from trajlab.reports.findings import findings


def test_findings__put_the_first_nonfinite_step_first():
    values = np.ones((6, 3, 3))
    values[4:, 0, 0] = np.nan
    runs = {"good": moving(6, w=1.0), "bad": trajlab.from_arrays({"w": values})}

    first = findings(trajlab.run("drift", runs).compute())[0]

    assert first.alarm
    assert first.text == "NaN or Inf among the weights from step 4 on, first in `w` in run `bad`."
