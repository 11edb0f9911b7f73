import numpy as np

import trajlab
from trajlab.reports.findings import findings


def test_findings__tell_alternating_signs_from_a_coin():
    signs = np.where(np.arange(40) % 2, 1.0, -1.0)[:, None, None] * np.ones((1, 5, 5))
    steady = np.ones((40, 5, 5))
    steady[20, 0] = -1.0
    run = trajlab.from_arrays({}, {"swing": signs + 1e-3, "steady": steady})

    texts = " ".join(finding.text for finding in findings(trajlab.run("sign_flips", run).compute()))

    assert "`steady` keep their sign more than a coin would" in texts
    assert "`swing` alternate more than a coin would: 100 %" in texts
