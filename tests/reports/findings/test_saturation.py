import numpy as np
import xarray as xr

from trajlab.reports.findings.saturation import saturation


def said(fractions, rules=("|a| > 0.99", "none"), units=0.0, **coords):
    over = ("run", "step", "layer")[-np.ndim(fractions) :]
    fractions = np.asarray(fractions, float)
    arrays = {
        name: (over, fractions * part)
        for name, part in (("fraction_saturated", 1), ("fraction_low", 0.25), ("fraction_high", 0.75))
    }
    arrays |= {"fraction_units_saturated": (over, 0 * fractions + units), "nonfinite": (over, 0 * fractions)}
    result = xr.Dataset(
        arrays, {"step": [0, 10], "layer": ["a", "b"][: len(rules)], "rule": ("layer", list(rules))} | coords
    )
    return [finding.text for finding in saturation(result.assign_attrs(min_share=0.9))]


def test_saturation__names_the_layer_the_rule_and_both_sides():
    texts = said([[0, 0], [0.4, np.nan]])
    assert texts[0] == "`b` has no rule for what is saturated, and no share."
    assert texts[1] == "`a` (|a| > 0.99) is saturated most at the end: 40 % of its values, 10 % below and 30 % above."
    assert texts[2] == "Saturation rose most in `a` (|a| > 0.99): from 0 % to 40 % of the values." and len(texts) == 3


def test_saturation__that_fell_and_none_and_units():
    fell = said([[0.5, 0.2], [0.0, 0.0]], ("x", "y"))
    assert fell == [
        "At the end no value of any layer is saturated.",
        "Saturation fell most in `a` (x): from 50 % to 0 % of the values.",
    ]
    assert "At the end 30 % of the units of `a` are saturated at 90 % of the positions or more." in said(
        [[0.1] * 2] * 2, units=0.3
    )


def test_saturation__of_several_runs_names_the_run_and_the_median():
    texts = said([[[0, 0], [0.2, 0]], [[0, 0], [0.4, 0]]], ("x", "y"), run=["one", "two"])
    assert "in run `two`: 40 %" in texts[0] and "median of the runs 30 %" in texts[0]
