import numpy as np
import xarray as xr

from trajlab.reports.findings.channel_gradients import channel_gradients


def said(ratio, correlation, layers=("a", "b", "c")):
    over = ("step", "layer")
    arrays = {
        "cv_ratio": (over, [ratio]),
        "norm_correlation": (over, [correlation]),
        "nonfinite": (over, [[0.0] * len(layers)]),
    }
    return [finding.text for finding in channel_gradients(xr.Dataset(arrays, {"step": [0], "layer": list(layers)}))]


def test_channel_gradients__count_layers_on_both_sides():
    texts = said([2.0, 1.05, 0.5], [0.9, 0.7, -0.2])
    assert texts[0].startswith("Of 3 layers with several input channels, emission varies more than absorption")
    assert "in 1, less in 1 at the end: from 0.5 times as much in `c` to 2 times in `a`" in texts[0]
    assert "correlation of 0.9 in `a`, of -0.2 in `c`; it is 0.7 or more in 2 of 3 layers" in texts[1]


def test_channel_gradients__of_one_layer_or_none():
    texts = said([np.nan, 3.0, np.nan], [np.nan, 0.25, np.nan])
    assert texts[0].startswith("In `b` emission varies 3 times as much") and "0.25 in `b` at the end" in texts[1]
    assert said([np.nan] * 3, [np.nan] * 3) == []
