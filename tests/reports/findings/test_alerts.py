import numpy as np

import trajlab
from trajlab.reports.findings import findings


def test_findings__count_the_rules_that_fire_before_each_of_them(rng):
    steady = 0.1 * rng.standard_normal((6, 8)) + np.cumsum(0.001 * rng.standard_normal((12, 6, 8)), axis=0)
    runs = {
        "good": trajlab.from_arrays({"a.weight": steady, "b.weight": steady}),
        "bad": trajlab.from_arrays({"a.weight": steady, "b.weight": 0 * steady}),
    }

    said = [finding.text for finding in findings(trajlab.run("alerts", runs).compute())]
    alone = [sentence.text for sentence in findings(trajlab.run("alerts", runs["bad"]).compute())]

    rules = ("AllZero", "UnchangedTensor", "TensorVariance", "WeightUpdateRatio", "PoorWeightInitialization")
    assert said[0].startswith("5 of 7 rules fire: ") and said[0].endswith(" in 1 of 2 runs.")
    assert all(f"`{rule}`" in said[0] for rule in rules)
    assert said[1].startswith("`AllZero` fires first at step 0")
    assert alone[0] == said[0].replace(" in 1 of 2 runs", "")
