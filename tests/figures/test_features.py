"""What a network shows is drawn in tests/stages/features/test_features.py."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from trajlab.figures.features import MOST, _by_input, _most_shifted, _shown, like


def test_kinds_of_inputs__are_shown_for_each_group_of_like_runs():
    inits = ["x", "x", "y"]
    values = np.array([1.0, 3.0, 1e6])[:, None, None, None] * np.ones((1, 2, 2, 1))
    std = xr.DataArray(values, dims=("run", "input", "step", "layer"), attrs={"long_name": "standard deviation"})
    coords = {"input": ["valid", "noise"], "step": [0, 10], "layer": ["relu"], "run": ["a", "b", "c"]}
    std = std.assign_coords(coords | {"init": ("run", inits), "seed": ("run", [0, 1, 0])})
    drawing = Figure((9, 3), layout="constrained")
    _by_input(xr.Dataset({"std": std}), "std", "standard deviation", ["relu"], drawing)

    (ax,) = drawing.axes
    assert sorted(line.get_ydata()[0] for line in ax.lines) == [2, 2, 1e6, 1e6]
    assert ax.get_yscale() == "log"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["x", "y", "valid", "noise"]


def test_like__runs_that_differ_in_their_seed_are_one_line():
    array = xr.DataArray(
        [[1.0], [3.0], [9.0]], {"init": ("run", ["x", "x", "y"]), "seed": ("run", [0, 1, 0])}, ("run", "step")
    )
    assert {name: part.values.tolist() for name, part in like(array).items()} == {"x": [2], "y": [9]}
    assert list(like(array[0])) == [""]


def test_shown__layers_are_spread_over_the_depth():
    many = xr.Dataset(coords={"layer": [f"l{i}" for i in range(100)]})
    shown = _shown(many)
    assert len(shown) == MOST and (shown[0], shown[-1]) == ("l0", "l99")
    assert _shown(many.isel(layer=[3, 5])) == ["l3", "l5"]


def test_most_shifted__is_the_run_that_was_farthest_at_some_step():
    ks = xr.DataArray([[[0.1], [np.nan]], [[0.0], [0.4]]], {"run": ["a", "b"]}, ("run", "step", "layer"))
    assert _most_shifted(xr.Dataset({"ks": ks})) == "b"
