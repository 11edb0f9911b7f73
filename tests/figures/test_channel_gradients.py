"""What a study shows of channels is drawn in tests/stages/test_channel_gradients.py."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from trajlab.figures.channel_gradients import _boxes, _variation
from trajlab.figures.marks.colors import CATEGORIES


def test_channels__of_unlike_runs_have_unlike_marks():
    rng = np.random.default_rng(0)
    cv = xr.DataArray(rng.random((3, 1, 2)), dims=("run", "step", "layer"))
    coords = {"run": list("abc"), "layer": ["x", "y"], "step": [0]}
    result = xr.Dataset({"em_sum_channel_cv": cv, "ab_sum_channel_cv": cv, "cv_ratio": cv}, coords)
    drawing = {}
    for name, one in {
        "unlike": result.assign_coords(optimizer=("run", ["sgd", "sgd", "still"])),
        "like": result,
    }.items():
        drawing[name] = Figure()
        _variation(one, drawing[name])

    (ax,), (alike,) = (own.axes for own in drawing.values())
    assert [line.get_markerfacecolor() == "none" for line in ax.lines] == [False, True] * 2
    assert [len(line.get_xdata()) for line in ax.lines] == [4, 2] * 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["emission", "absorption", "sgd", "still"]
    assert [text.get_text() for text in alike.get_legend().get_texts()] == ["emission", "absorption"]


def test_boxes__of_few_channels_begin_at_0_and_over_decades_are_logarithmic():
    scales = {"linear": [1.0, 2.0], "log": [1.0, 1e5]}
    for scale, sizes in scales.items():
        quantiles = xr.DataArray(np.outer(sizes, [0.5, 0.9, 1, 1.1, 2]), dims=("input_unit", "quantile"))
        ax = Figure().add_subplot()
        _boxes(quantiles, quantiles[:, 2], ax, CATEGORIES[0])
        assert ax.get_yscale() == scale and ax.get_xlabel() == "input channels, largest first"
        assert scale == "log" or ax.get_ylim()[0] == 0
