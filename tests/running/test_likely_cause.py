import pytest

from trajlab.running.likely_cause import likely_cause
from trajlab.statistics.unusual import Unusual

RECORDED = {"weight norm", "update", "gradient norm", "metric"}


def event(step, place, quantity, kind="jump", before=1.0, after=9.0):
    return Unusual(step, place, quantity, kind, 9.0 if after > before else -9.0, before, after)


LAYERS = [event(5, f"{name}.weight", "update") for name in "abc"]


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([event(5, "a.weight", "gradient norm", "nonfinite")], "overflow in half precision"),
        ([event(5, "loss", "metric", "nonfinite")], "`loss` was NaN or Inf first"),
        ([event(5, "lr", "metric"), *LAYERS], "The learning rate itself changed first."),
        (LAYERS, "Most layers moved at once"),
        ([LAYERS[0], event(7, "b.weight", "gradient norm")], "Only `a.weight` moved, before any gradient or loss"),
        ([LAYERS[0], event(5, "b.weight", "gradient norm", after=0.0)], "`b.weight` then got no gradient"),
        ([event(5, "b.weight", "gradient norm", after=0.0)], "`b.weight` no longer got a gradient"),
        ([event(5, "loss", "metric", "spike")], "a single bad batch"),
        ([event(5, "loss", "metric"), event(6, "a.weight", "update")], "other data or labels from this step on"),
        ([event(5, "a.weight", "gradient norm")], "The gradient of `a.weight` was unusual first; no weight moved"),
        ([event(5, "network", "gradient norm")], "The gradient of the whole network was unusual first"),
    ],
)
def test_likely_cause(events, words):
    assert words in likely_cause(events, RECORDED)


def test_likely_cause__claims_no_order_of_what_was_not_recorded():
    assert "before any gradient" not in likely_cause(LAYERS, {"update", "weight norm"})
