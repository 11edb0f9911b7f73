import numpy as np
import xarray as xr

from trajlab.reports.findings.attention import attention

DIMS = ("step", "layer", "head")


def result(entropy, first, distance):
    """Two steps of one layer with two heads, of sequences of 10 tokens."""
    variables = {"relative_entropy": entropy, "first": first, "distance": distance, "uniform": np.full((2, 2), 0.1)}
    return xr.Dataset(
        {name: (DIMS, np.array(values, float)[:, None]) for name, values in variables.items()},
        {"step": [0, 10], "layer": ["attn"], "head": [0, 1]},
    )


def test_attention__names_the_heads():
    texts = {finding.figure: finding.text for finding in attention(result([[1, 1], [1, 0.5]], [[0, 0], [0.1, 0.6]],
                                                                         [[3, 3], [3, 1.5]]))}  # fmt: skip
    assert texts["heads"].startswith("Attention is sharpest in head 1 of `attn` at the end: 50 %")
    assert texts["heads"].endswith("100 % in head 0 of `attn`.")
    assert texts["first"].startswith("Head 1 of `attn` gives 60 %") and "would give 10 %" in texts["first"]
    assert texts["relative_entropy"].endswith("fell most in head 1 of `attn`: from 100 % to 50 %.")
    assert texts["distance"].startswith("Head 0 of `attn` looks farthest at the end, 3 ")
    assert texts["distance"].endswith("head 1 of `attn` the least far, 1.5.")


def test_attention__small_changes_and_shares_near_uniform_are_left_out():
    figures = [f.figure for f in attention(result([[0.9, 0.9], [0.95, 0.85]], np.full((2, 2), 0.19), np.ones((2, 2))))]
    assert figures == ["heads"]


def test_attention__rises_are_told_before_falls():
    changes = attention(result([[0.2, 0.9], [0.6, 0.3]], np.full((2, 2), 0.1), np.ones((2, 2))))
    texts = [finding.text for finding in changes if finding.figure == "relative_entropy"]
    assert [("rose" in text, "fell" in text) for text in texts] == [(True, False), (False, True)]
    assert "from 20 % to 60 %" in texts[0] and "from 90 % to 30 %" in texts[1]


def test_attention__unknown_heads_are_passed_over():
    some = result([[np.nan, 0.9], [np.nan, 0.85]], [[np.nan, 0.1]] * 2, [[np.nan, 1.0]] * 2)
    assert [finding.text for finding in attention(some)] == [
        "Attention is sharpest in head 1 of `attn` at the end: 85 % of the entropy of uniform attention."
    ]
    assert attention(some.isel(head=[0])) == []


def test_attention__of_heads_that_differ_in_nothing_names_none():
    even = result([[1, 1], [0.999, 0.998]], np.full((2, 2), 0.1), [[3, 3], [3, 3.01]])
    assert [finding.text for finding in attention(even)] == [
        "All heads attend almost evenly at the end: at least 99.8 % of the entropy of uniform attention."
    ]
