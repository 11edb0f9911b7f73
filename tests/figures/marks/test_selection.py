import numpy as np
import pytest
import xarray as xr

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.figures import figure
from trajlab.figures.marks.selection import between, choose, narrowed
from trajlab.statistics.studies import telling_facts


def test_runs__are_not_told_apart_by_the_size_of_a_parameter():
    rng = np.random.default_rng(0)
    runs = {str(size): trajlab.from_arrays({"w": rng.standard_normal((2, size, 4)), "v": np.ones((2, 3))})
            for size in (3, 5)}  # fmt: skip
    result = trajlab.run("drift", runs).compute().assign_coords(variant=("run", ["a", "b"]))

    chosen, _ = choose(result, "norm", keep=("step", "run"), parameter="w")

    assert result.numel.dims == ("run", "parameter")
    assert telling_facts(chosen) == ["variant"]
    assert [text.get_text() for text in figure(result, variable="norm", parameter="w").get_legend().get_texts()] == [
        "variant: a",
        "variant: b",
    ]


@pytest.mark.parametrize(
    ("steps", "shown"), [("5:8", [5, 6, 7, 8]), ("18:", [18, 19, 20]), (":1", [0, 1]), ("7", [7]), (None, range(21))]
)
def test_between__gives_the_steps_that_are_asked_for(relative, steps, shown):
    assert between(relative, steps).step.values.tolist() == list(shown)


@pytest.mark.parametrize("steps", ["", ":", "a:b", "1-2", "1:2:3"])
def test_between__says_how_steps_are_written(relative, steps):
    with pytest.raises(BadSetting, match="100:200"):
        between(relative, steps)


def test_between__says_which_steps_there_are(relative):
    with pytest.raises(MissingData, match="30:40.*21.*from 0 to 20"):
        between(relative, "30:40")
    with pytest.raises(BadSetting, match="no steps"):
        between(relative.max("step"), "3")


def of_runs(dims, **attrs):
    values = np.arange(float(2 * np.prod([2] * len(dims)))).reshape(2, *[2] * len(dims))
    return xr.Dataset({"v": (("run", *dims), values, attrs)}, {"run": ["a", "b"]})


@pytest.mark.parametrize(
    ("dims", "attrs", "title"),
    [
        (("step",), {}, "mean of 2 runs"),
        (("step", "unit"), {}, "a"),
        (("step", "filter"), {}, "a"),
        (("step", "y", "x"), {}, "a"),
        (("step",), {"nominal": True}, "a"),
    ],
)
def test_choose__averages_runs_only_where_a_mean_means_something(dims, attrs, title):
    result = of_runs(dims, **attrs)
    chosen = choose(result, "v", keep=dims)
    expected = result.v.mean("run") if title.startswith("mean") else result.v.sel(run="a")
    assert chosen.title == title
    np.testing.assert_array_equal(chosen.array, expected)


@pytest.mark.parametrize(
    ("labels", "text"), [([0, 5, 10], "5"), ([0.1, 0.25], "0.25"), (["uniform", "gaussian"], "gaussian")]
)
def test_narrowed__reads_labels_from_text_and_keeps_their_type(labels, text):
    result = xr.Dataset({"v": (("dim", "x"), np.ones((len(labels), 2)))}, {"dim": labels})
    part, chosen = narrowed(result, {"dim": text, "other": "1", "x": None})
    assert part.sizes == {"dim": 1, "x": 2} and chosen == {"dim": part.dim.item(), "other": "1", "x": None}
    assert str(part.dim.item()) == text
    with pytest.raises(BadSetting, match=f"dim='7': the labels are {labels[0]}"):
        narrowed(result, {"dim": "7"})
    with pytest.raises(BadSetting, match=f"dim='7': the only label is {labels[0]}; leave dim out"):
        narrowed(result.isel(dim=[0]), {"dim": "7"})
