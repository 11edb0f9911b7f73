import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from trajlab.figures.saturation import _rules, panels, saturation


def result(rules=("|a| > 0.99", "a = 0"), **more):
    coords = {
        "step": [0, 10],
        "layer": ["tanh", "relu"][: len(rules)],
        "unit": ["0", "1", "2"],
        "rule": ("layer", list(rules)),
    }
    saturated = np.array([[[0.1, 0.9, 0.5], [0, 0, np.nan]], [[0.2, 0.3, 0.8], [0, 0, np.nan]]])[:, : len(rules)]
    over = ("step", "layer", "unit")
    arrays = {"saturated": (over, saturated), "fraction_saturated": (over[:2], np.nanmean(saturated, 2))}
    arrays["fraction_units_saturated"] = (over[:2], np.zeros(saturated.shape[:2]))
    return xr.Dataset(arrays | more, coords, {"min_share": 0.9})


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (("a = 0", "a = 0"), "a = 0"),
        (("|a| > 0.99", "a = 0"), "|a| > 0.99 (tanh); a = 0 (relu)"),
        (("a = 0", "none"), "a = 0 (tanh)"),
        (("none", "none"), "nothing, as no layer has a rule"),
    ],
)
def test_rules__are_named_once_or_with_their_layers(rules, words):
    assert _rules(result(rules)) == words


def test_saturation__of_units_is_of_the_layer_with_most_and_its_units_are_sorted():
    ax = saturation(result(), variable="saturated", ax=Figure().add_subplot())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["2", "1", "0"] and ax.get_title() == "tanh"
    other = saturation(result(), variable="saturated", layer="relu", ax=Figure().add_subplot())
    assert len(other.get_yticklabels()) == 2  # the third unit is none of this layer


def test_panels__leave_out_units_where_none_is_saturated():
    assert [panel.key for panel in panels(result())] == ["fraction_saturated", "layers", "saturated"]
    some = result(fraction_units_saturated=(("step", "layer"), [[0, 0], [0.5, 0]]))
    assert [panel.key for panel in panels(some)][2] == "units"
    assert "90 %" in panels(some)[2].caption
