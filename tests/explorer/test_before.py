"""The view of what happened before a step."""

import numpy as np
import pytest

pytest.importorskip("bokeh", reason="the page needs trajlab[explore]")

import trajlab  # noqa: E402
from trajlab.explorer.code import code_of  # noqa: E402


@pytest.fixture(scope="module")
def run():
    loss = 1 + 0.01 * np.random.default_rng(0).standard_normal(100)
    loss[80] = 5.0
    return trajlab.from_arrays({}, metrics={"loss": loss})


def test_what_was_unusual_before_the_step_is_said_listed_and_drawn(drawn, run):
    page = drawn(run, stages=["change_points"], view="Before a step", step=85, back=20)
    view = page.views["Before a step"]
    assert view.back.value == 20 and 0 in view.back.options.values()  # a list shows no choice for None
    assert (
        "Step 80: <code>loss</code> rose 5-fold" in view.sentences.object and "Steps 65 to 85" in view.sentences.object
    )
    table = view.table()
    assert table[["step", "place", "kind"]].values.tolist() == [[80, "loss", "spike"]]
    assert "spike" in view.events.object
    scope = {}
    exec(code_of(page.context), scope)
    assert scope["array"].max() == 5.0 and "change_points" in page.code.object
    assert "the first that were unusual" in view.chart.drawn.figure.title.text.text
    page.selection.step = 79
    assert "Nothing was unusual" in view.sentences.object and view.chart.drawn is None and not len(view.table())
    page.selection.back = 7
    assert view.back.value == 7 and 7 in view.back.options.values()


def test_a_step_that_was_not_recorded_and_a_missing_result_are_said(drawn, run):
    page = drawn(run, stages=["drift"], view="Before a step")
    assert "There is no change_points of run" in page.views["Before a step"].absent.object
    assert not len(page.views["Before a step"].table())
