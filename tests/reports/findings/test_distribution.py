import numpy as np

import trajlab
from tests.reports.runs import said
from trajlab.reports.findings import findings


def test_findings__compare_the_distributions_of_large_tensors_only():
    rng = np.random.default_rng(0)
    large, tiny = rng.normal(size=(12, 12)), rng.normal(size=(2, 1))
    run = trajlab.from_arrays({"large": np.stack([large, large**3]), "tiny": np.stack([tiny, tiny + 100])})

    texts = " ".join(finding.text for finding in findings(trajlab.run("distribution", run).compute()))

    assert "`large` shifted most of all tensors of at least 100 entries: " in texts
    assert "`large` grew the heaviest tails: excess kurtosis from " in texts


def test_findings__do_not_call_it_tails_where_there_are_none():
    signs = np.resize([1.0, -1.0], (12, 12))
    run = trajlab.from_arrays({"w": np.stack([signs, np.random.default_rng(0).normal(size=(12, 12))])})

    texts = " ".join(finding.text for finding in findings(trajlab.run("distribution", run).compute()))

    assert "shifted most" in texts
    assert "tails" not in texts


def test_tensors__that_shifted_no_more_than_chance_are_not_told():
    values = np.random.default_rng(0).normal(size=144)
    again = values[::-1].reshape(12, 12) + 1e-4
    run = trajlab.from_arrays({"w": np.stack([values.reshape(12, 12), again])})

    result = trajlab.run("distribution", run).compute()

    assert 0 < float(result["ks"].isel(step=-1, parameter=0)) <= float(result["ks_null"].isel(step=-1, parameter=0))
    assert "No tensor shifted from the start beyond chance." in said(result)


def test_findings__do_not_call_it_spread_where_a_bias_began_at_zero():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(12, 12)), rng.normal(size=12)
    run = trajlab.from_arrays(
        {"fc.weight": np.stack([weight, weight * 2]), "fc.bias": np.stack([bias * 1e-3, bias])}
    )  # fmt: skip

    texts = said(trajlab.run("distribution", run).compute())

    assert "`fc.weight` spread out most: its standard deviation grew 2-fold." in texts
