import pytest
import xarray as xr

import trajlab
from trajlab.statistics.result import Meaning, annotate, is_from_start, reference_name

MEANINGS = {
    "far": Meaning("distance from {reference}", "weight", "|w_t − w at {reference}|"),
    "part": Meaning("part", "1", "count", share=True),
}


def annotated(**attrs):
    arrays = {name: ("step", [1.0]) for name in ("far", "total_far", "part")}
    return annotate(xr.Dataset(arrays), MEANINGS, **attrs)


@pytest.mark.parametrize(
    ("attrs", "name", "from_start"),
    [
        ({}, "the start", True),
        ({"reference": -1}, "the end", False),
        ({"reference": 1200}, "step 1,200", False),
        ({"reference": 0, "reference_of": "parent"}, "the parent's start", False),
        ({"reference": 5, "reference_of": "parent"}, "the parent at step 5", False),
    ],
)
def test_reference__is_named_in_titles_and_definitions(attrs, name, from_start):
    far = annotated(**attrs)["far"].attrs

    assert (far["long_name"], far["definition"]) == (f"distance from {name}", f"|w_t − w at {name}|")
    assert reference_name(attrs) == name
    assert is_from_start(attrs) is from_start


def test_annotate__tells_shares_and_totals_by_attrs_of_their_own():
    result = annotated()

    assert result["part"].attrs["share"] and "total" not in result["part"].attrs
    assert result["total_far"].attrs["total"] and "share" not in result["total_far"].attrs
    assert result["total_far"].attrs["long_name"] == result["far"].attrs["long_name"]


def test_distribution__measured_from_a_parent_says_so(example):
    result = trajlab.run("distribution", example, parent=trajlab.example(seed=1))

    assert result["ks"].attrs["long_name"].endswith("the parent's start")
    assert result["ks_prev"].attrs["definition"].startswith("max|F_t − F_prev|")
