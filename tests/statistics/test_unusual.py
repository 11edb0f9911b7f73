import numpy as np
import pytest
import xarray as xr

from trajlab.statistics.unusual import Unusual, factor_words, quantity_words, unusual_before, verb_words


def result(*rows, window=50, sizes=1.0):
    """Build a result of `change_points` with one change in each series: place, quantity, step, kind and score."""
    places, quantities, begins, kinds, scores = zip(*rows, strict=True)
    columns = {
        "begins": begins,
        "kind": kinds,
        "score": scores,
        "before": np.ones(len(rows)) * sizes,
        "after": np.ones(len(rows)) * sizes,
    }
    table = {name: (("series", "change"), np.array(values, float)[:, None]) for name, values in columns.items()}
    table["value"] = (("step", "series"), np.vstack([np.ones(len(rows)) * sizes] * 3))
    coords = {"place_of": ("series", list(places)), "quantity_of": ("series", list(quantities))}
    return xr.Dataset(table, coords, {"window": window})


def test_unusual_before__puts_causes_before_effects():
    rows = [
        ("loss", "metric", 10, 1, 50.0), ("a", "gradient norm", 10, 1, 60.0), ("network", "update", 10, 1, 90.0),
        ("a", "update", 10, 1, 8.0), ("b", "update", 10, 1, -9.0), ("b", "gradient norm", 10, 5, np.inf),
        ("c", "update", 9, 1, 7.0), ("d", "update", 40, 1, 7.0), ("e", "metric", 2, 3, 7.0),
    ]  # fmt: skip
    events = unusual_before(result(*rows), 30, first=1)
    assert [f"{event.place} {event.quantity}" for event in events] == [
        "c update", "b gradient norm", "b update", "a update", "network update", "loss metric", "a gradient norm",
        "e metric",
    ]  # fmt: skip
    assert [event.kind for event in events][:2] == ["spike", "nonfinite"]
    assert unusual_before(result(*rows), 1, first=0) == []


def test_unusual_before__leaves_out_updates_that_only_rounding_makes():
    rows = [(name, "update", 10, 2, 9.0) for name in ("a", "bias before a norm", "c")] + [
        ("tiny", "metric", 10, 2, 9.0)
    ]
    events = unusual_before(result(*rows, sizes=np.array([0.1, 9e-8, 2e-7, 1e-20])), 30, first=1)
    assert [event.place for event in events] == ["a", "c", "tiny"]
    fallen = result(*rows, sizes=np.array([0.1, 0.1, 0.1, 1.0])).assign(after=(("series", "change"), np.zeros((4, 1))))
    assert len(unusual_before(fallen, 30, first=1)) == 4


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [(1, 40, "rose 40-fold"), (3, 2, "fell 1.5-fold"), (1, 1.1, "rose by 10 %"), (1, 0, "fell to zero"),
     (0, 2, "rose from 0 to 2"), (-1, -3, "fell from -1 to -3")],
)  # fmt: skip
def test_factor_words(before, after, words):
    assert factor_words(Unusual(0, "a", "update", "jump", 9.0, before, after)) == words


def test_words_of_kinds():
    def event(kind, score=9.0):
        return Unusual(0, "network", "gradient norm", kind, score, 1.0, 2.0)

    assert quantity_words(event("jump")) == "the gradient norm of the whole network"
    assert verb_words(event("nonfinite")) == "became NaN or Inf"
    assert verb_words(event("spread", -9.0)) == "began to scatter less"
    assert verb_words(event("slope")) == "bent upward from a smooth trend"
