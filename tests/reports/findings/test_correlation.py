import numpy as np
import pytest
import xarray as xr

from trajlab.reports.findings.correlation import correlation

LAYERS = ["a", "b"]


def said(cka=0.5, redundant=0.2, settled=((0.1, 0.1), (0.99, 0.1), (1, 1)), constant=0, steps=(0, 10, 20)):
    count = len(steps)
    square = np.broadcast_to(np.array([[1, cka], [cka, 1.0]]), (count, 2, 2))
    pairs, each = ("step", "layer", "layer_other"), ("step", "layer")
    arrays = {
        "cka": (pairs, square), "absolute_off_diagonal": (pairs, redundant * square),
        "cka_end": (each, np.array(settled, float)[:count]), "constant": (each, np.full((count, 2), [constant, 0.0])),
        "features": (each, np.full((count, 2), 4.0)), "nonfinite": (each, np.zeros((count, 2))),
    }  # fmt: skip
    result = xr.Dataset(arrays, {"step": list(steps), "layer": LAYERS, "layer_other": LAYERS})
    return [finding.text for finding in correlation(result)]


def test_correlation__says_which_layer_settled_first():
    texts = said()
    assert texts[0] == "The CKA of `a` and `b` is 0.5 at the end."
    assert texts[2].startswith("`a` settles first and `b` last") and "from step 10 and 20 on, respectively" in texts[2]


@pytest.mark.parametrize(("settled", "step"), [(((1, 1),) * 3, 0), (((0, 0), (1, 1), (1, 1)), 10)])
def test_correlation__layers_that_settle_together(settled, step):
    assert f"All layers have settled by step {step}" in said(settled=settled)[2]


def test_correlation__of_two_steps_says_nothing_of_settling_and_counts_what_does_not_vary():
    texts = said(steps=(0, 10), constant=1)
    assert len(texts) == 3
    assert texts[-1] == "1 feature of the 5 of `a` does not vary over the probe at the end, the most of all layers."
