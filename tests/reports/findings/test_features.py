import numpy as np
import xarray as xr

from trajlab.reports.findings.features import features


def said(std, ks, **more):
    over = ("run", "step", "input", "layer")[-np.ndim(std) :]
    arrays = {name: (over, np.asarray(values, float)) for name, values in ({"std": std, "ks": ks} | more).items()}
    arrays["nonfinite"] = (over, 0 * np.asarray(std, float))
    result = xr.Dataset(
        arrays, {"step": [0, 10], "input": ["valid", "noise"][: np.shape(std)[-2]], "layer": ["a", "b"]}
    )
    return [finding.text for finding in features(result)]


def test_features__name_the_shift_and_the_layers_that_grew_and_shrank():
    texts = said([[[1, 2]], [[4, 1]]], [[[0, 0]], [[0.5, 0.25]]])
    assert texts[0] == (
        "The activations of `a` shifted most on the valid inputs: Kolmogorov–Smirnov distance 0.5 from the start, "
        "standard deviation from 1 at the first step to 4."
    )
    assert texts[1:] == [
        "`a` grew most on the valid inputs: its standard deviation grew 4-fold.",
        "`b` shrank most on the valid inputs: its standard deviation fell to 50 %.",
    ]


def test_features__layers_that_were_constant_and_small_changes_are_not_told():
    assert said([[[0, 1]], [[5, 1.2]]], [[[0, 0]], [[1, 0]]]) == []


def test_features__say_where_inputs_differ_most():
    std = np.ones((2, 2, 2))
    texts = said(std, 0 * std, ks_valid=[[[0, 0], [0.1, 0.2]], [[0, 0], [0.3, 0.6]]])
    assert texts == [
        "Inputs make the most difference in `b` at the end: its activations have a Kolmogorov–Smirnov distance from "
        "those on the valid inputs of 0 on valid ones, 0.6 on noise ones."
    ]
