import numpy as np
import pytest

import trajlab
from trajlab.errors import BadSetting, MissingData
from trajlab.figures import figure
from trajlab.figures.marks.selection import between, choose
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
