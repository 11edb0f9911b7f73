import numpy as np
import xarray as xr

from trajlab.reports.findings.residual_stream import residual_stream


def result(**changed):
    """Two steps of two hidden states."""
    values = {
        "norm": [[1, 1], [2, 8]], "massive_ratio": [[3, 3], [3, 1500]], "massive": [[0, 0], [0, 1]],
        "largest": [[1, 1], [1, 300]], "largest_position": [[0, 0], [0, 0]], "largest_unit": [[5, 5], [5, 7]],
        "effective_rank": [[9, 9], [9, 4]], "lens_loss": [[3, 3], [3, 1]], "nonfinite": [[0, 0], [0, 0]],
    } | changed  # fmt: skip
    variables = {name: (("step", "layer"), np.array(rows, float)) for name, rows in values.items()}
    return xr.Dataset(variables, {"step": [0, 10], "layer": ["embed", "layers.0"]})


def test_residual_stream__states_outliers_lens_growth_and_rank():
    texts = {finding.figure: finding.text for finding in residual_stream(result())}
    assert "of `layers.0` stick out most at the end, by up to 1,500 times the median" in texts["massive_ratio"]
    assert "the largest is 300, at position 0 and unit 7; " in texts["massive_ratio"]
    assert texts["massive_ratio"].endswith("1 value there is massive.")
    assert texts["lens_loss"].endswith("falls most in `layers.0` at the end: from 3 to 1 nat.")
    assert "from 2 in `embed` to 8 in `layers.0`" in texts["norm"]
    assert texts["effective_rank"].endswith("fell most in `layers.0`: from 9 to 4.")


def test_residual_stream__what_is_small_or_unknown_is_left_out():
    plain = result(norm=[[1, 1], [2, 2]], massive_ratio=[[3, 3], [3, 3]], effective_rank=[[9, 9], [9, 9]])
    assert residual_stream(plain.drop_vars("lens_loss")) == []
    assert residual_stream(plain.assign(lens_loss=plain["lens_loss"] * np.nan)) == []
    assert residual_stream(plain.assign(lens_loss=2.171 + 1e-4 * plain["lens_loss"])) == []
    assert "norm" not in {finding.figure for finding in residual_stream(result(norm=[[1, 1], [2, np.nan]]))}


def test_residual_stream__a_block_whose_lens_is_unknown_is_passed_over():
    three = result().isel(layer=[0, 0, 1]).assign_coords(layer=["embed", "layers.0", "layers.1"])
    three["lens_loss"] = ("step", "layer"), [[3.0, 3.0, 3.0], [np.nan, 3.0, 1.0]]
    texts = {finding.figure: finding.text for finding in residual_stream(three)}
    assert texts["lens_loss"].endswith("falls most in `layers.1` at the end: from 3 to 1 nat.")
