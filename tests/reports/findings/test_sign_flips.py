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


def test_findings__do_not_headline_a_bias_that_began_at_zero(rng):
    weight, bias = rng.standard_normal((3, 8, 8)), rng.standard_normal((3, 8)) * [[1], [-1], [1]]
    weight[1:] = weight[0]
    weight[1:, 0, 0] *= -1
    run = trajlab.from_arrays({"fc.weight": weight, "fc.bias": bias})

    texts = [finding.text for finding in findings(trajlab.run("sign_flips", run).compute())]

    assert any("Weights of `fc.weight` change sign most" in text for text in texts)
