"""Runs that grow are opened again, and watched."""

import numpy as np
import pytest

from trajlab.errors import BadSetting
from trajlab.explorer.shown_runs import ShownRuns
from trajlab.explorer.source import source_of


@pytest.fixture
def growing(checkpoints, tmp_path):
    """Return a folder of 60 checkpoints, and a function that adds those up to a step; the norm doubles at step 70."""
    noise = np.exp(0.02 * np.random.default_rng(0).standard_normal((90, 1, 1)))
    values = (noise * np.ones((1, 2, 3)) * np.where(np.arange(90) < 70, 1, 2)[:, None, None]).astype(np.float32)
    folder = checkpoints({"w": values[:60]}, folder=tmp_path / "run")
    return folder, lambda first, stop: checkpoints({"w": values[first:stop]}, steps=range(first, stop), folder=folder)


def test_runs_are_opened_again_only_if_files_have_changed(growing):
    folder, grow = growing
    runs = ShownRuns(source_of(folder), True)
    assert not runs.look_again() and runs.readings == 0
    grow(60, 61)
    assert runs.look_again() and runs.readings == 1
    assert runs.source.runs["run"].steps[-1] == 60


def test_what_leaves_its_past_is_noticed_once(growing):
    folder, grow = growing
    runs = ShownRuns(source_of(folder), True)
    assert not runs.watch()
    grow(60, 80)
    runs.look_again()
    assert runs.watch()
    (text,) = [text for text in runs.noticed if "norm" in text]
    assert text.startswith("the weight norm of `w` rose 2-fold from step 70 (CUSUM, noticed at step 7")
    assert not runs.watch()


def test_the_overview_says_what_was_noticed(drawn, growing):
    page = drawn(growing[0], stages=["drift"])
    page.collection.runs.noticed = ["`<b>` rose 2-fold", "`a` fell by 30 %"]
    page.update()
    text = page.views["Overview"].noticed.object
    assert "Noticed: `&lt;b&gt;` rose 2-fold" in text and "1 before it" in text and "`a` fell by 30 %" in text


def test_runs_in_memory_cannot_be_followed(example):
    with pytest.raises(BadSetting, match="in memory"):
        ShownRuns(source_of(example), True)
