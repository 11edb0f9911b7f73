"""The view of runs."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("bokeh", reason="the page needs trajlab[explore]")

from trajlab.explorer.look import LIGHT  # noqa: E402
from trajlab.explorer.views.parallel_coordinates import _axis  # noqa: E402
from trajlab.explorer.views.run_colors import run_colors  # noqa: E402


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # Panel's, of pandas 3.1
def test_the_filter_and_a_click_choose_runs(drawn, study):
    page = drawn(study, view="Runs", fact="lr", outcome="loss, last", only="lr>=0.1", color="lr")
    view = page.views["Runs"]
    assert list(view.grid.value.index) == ["run-1", "run-2"]
    assert "2 runs" not in page.selection.runs and page.selection.runs == []
    view.take.clicks += 1
    assert page.selection.runs == ["run-1", "run-2"]
    lines = next(r for r in view.coordinates.drawn.figure.renderers if "xs" in r.data_source.data)
    assert len(lines.data_source.data["ys"]) == 2
    lines.data_source.selected.indices = [1]
    assert page.selection.run == "run-2"
    page.selection.only = "lr>5"
    assert "No run meets the filter" in view.unreadable.object and not view.scatter.pane.visible


def test_heights_on_an_axis():
    heights, ticks = _axis(pd.Series([1.0, None, 3.0, 2.0]))
    assert np.allclose(heights, [0, np.nan, 1, 0.5], equal_nan=True)
    assert ticks["1"] == 0 and ticks["3"] == 1
    heights, ticks = _axis(pd.Series([0.001, 0.01, 0.1]))
    assert np.allclose(heights, [0, 0.5, 1])
    assert ticks["0.01"] == pytest.approx(0.5)
    heights, ticks = _axis(pd.Series(["adam", "sgd", "adam"]))
    assert heights.tolist() == [0, 1, 0] and ticks == {"adam": 0, "sgd": 1}
    assert _axis(pd.Series([2, 2]))[0].tolist() == [0.5, 0.5]
    assert np.isnan(_axis(pd.Series([np.nan, np.nan]))[0]).all()


def test_colors():
    few = run_colors(LIGHT, pd.Series(["a", "b", "a"]), 3)
    assert few.is_named and few.colors[0] == few.colors[2] != few.colors[1]
    many = run_colors(LIGHT, pd.Series([*np.arange(19.0), np.nan]), 20)
    assert not many.is_named and len(set(many.colors)) == 20 and many.colors[-1] == LIGHT.missing
    assert set(run_colors(LIGHT, None, 3).colors) == {LIGHT.categories[0]}
