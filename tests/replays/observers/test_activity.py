import numpy as np
import pytest

from tests.replays.observers.folding import folded, layer
from trajlab.replays.observers.activity import COLUMNS, Activity, kind_of

VALUES = np.array([[-1, 0, 2], [1, 0, 6], [np.nan, 0, 9], [-3, 0, 6]], np.float32)


def columns(values=VALUES, observer=None, batch=3, **attrs):
    results, described = folded(observer or Activity(), [layer(**attrs)], [values], batch=batch)
    table = dict(zip(COLUMNS, results["fc"].T.tolist(), strict=True))
    return table, described["fc"].attrs


def test_activity__by_hand():
    table, attrs = columns(nonlinearity="ReLU")
    assert table == {
        "active": [1, 0, 4], "valid": [3, 4, 4], "nonfinite": [1, 0, 0], "positive": [1, 0, 23], "size": [5, 0, 23],
        "sum": [-3, 0, 23], "squares": [11, 0, 157], "at_low": [2, 4, 0], "at_high": [0, 0, 0],
    }  # fmt: skip
    assert attrs["can_die"] is True and attrs["dead_at"] == "h = 0"


@pytest.mark.parametrize(
    ("attrs", "at_low", "at_high"),
    [
        ({"nonlinearity": "ReLU6"}, [2, 4, 0], [0, 0, 3]),
        ({"nonlinearity": "Hardtanh", "min_val": -1.0, "max_val": 2.0}, [2, 0, 0], [0, 0, 4]),
        ({"nonlinearity": "SiLU"}, [0, 4, 0], [0, 0, 0]),
        ({"nonlinearity": "Tanh"}, [0, 0, 0], [0, 0, 0]),
    ],
)
def test_activity__at_the_constants_of_the_activation(attrs, at_low, at_high):
    table, _ = columns(**attrs)
    assert (table["at_low"], table["at_high"]) == (at_low, at_high)


def test_activity__bounds_are_those_of_the_kind_of_the_layer():
    table, _ = columns(observer=Activity((("ReLU6", 0.0, 6.0), ("Tanh", -9, 9))), nonlinearity="ReLU6")
    assert table["active"] == [1, 0, 1]
    assert kind_of({"module_class": "Linear"}) == "Linear" and kind_of({}) == ""
    assert kind_of({"nonlinearity": "ReLU", "module_class": "Block"}) == "ReLU"


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_activity__does_not_depend_on_batches_nor_on_which_axis_is_of_the_units(batch):
    table, _ = columns(batch=batch, nonlinearity="ReLU6")
    tokens = layer("fc", (1, 3), ("position", "unit"), nonlinearity="ReLU6")
    results, _ = folded(Activity(), [tokens], [VALUES[:, None]], batch=batch)
    np.testing.assert_array_equal(results["fc"].T, list(table.values()))
