"""Lines over the steps: of few runs one each, of many the median of like ones with its range."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import trajlab
from trajlab.figures import panels
from trajlab.figures.marks.bands import bands, far_groups, is_banded

STEPS = np.array([0, 10, 20])


def growing(inits, seeds, values=None):
    """Lines of runs, each of so many inits and seeds."""
    init = np.repeat(np.array(inits, dtype=object), seeds)
    values = np.arange(1.0, len(init) + 1)[:, None] * np.ones(3) if values is None else np.asarray(values)
    coords = {"run": [f"r{i}" for i in range(len(init))], "step": STEPS, "init": ("run", init)}
    return xr.DataArray(values, coords | {"seed": ("run", np.tile(range(seeds), len(inits)))}, ("run", "step"))


def _draw(array, **options):
    ax = Figure().add_subplot()
    bands(array, ax, **options)
    return ax


def _panel(result, key):
    chosen = next(panel for panel in panels(result) if panel.key == key)
    drawing = Figure(chosen.size, layout="constrained")
    chosen.draw(drawing)
    return chosen, drawing.axes


def test_bands__show_the_median_and_the_range_of_runs_that_differ_in_their_seed():
    ax = _draw(growing(["x", "y", "z"], 3))

    assert [line.get_ydata()[0] for line in ax.lines] == [2, 5, 8]
    extents = [band.get_paths()[0].get_extents() for band in ax.collections]
    assert [(extent.y0, extent.y1) for extent in extents] == [(1, 3), (4, 6), (7, 9)]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["init: x", "init: y", "init: z"]


@pytest.mark.parametrize(("inits", "seeds"), [(["x", "y"], 4), (list("abcdefghij"), 2)])
def test_bands__leave_few_runs_and_few_seeds_their_own_lines(inits, seeds):
    array = growing(inits, seeds)

    assert not is_banded(array)
    assert len(_draw(array).lines) == array.sizes["run"]


def test_bands__pass_over_runs_that_are_not_known():
    values = np.arange(1.0, 10)[:, None] * np.ones(3)
    values[[1, 4], 2] = np.nan, np.inf
    values[6:, 1] = np.nan

    ax = _draw(growing(["x", "y", "z"], 3, values))

    assert [line.get_ydata().tolist() for line in ax.lines] == [[2, 2, 2], [5, 5, 5], [8, 8]]
    assert ax.lines[2].get_xdata().tolist() == [0, 20]


def test_bands__name_what_lies_far_outside():
    values = np.repeat([1.0, 2.0, 1e6], 3)[:, None] * np.ones(3)
    array = growing(["x", "y", "far"], 3, values)

    ax = _draw(array)

    assert far_groups(array) == ["far"]
    assert ax.get_title() == "outside: far"
    assert (len(ax.lines), ax.get_yscale()) == (2, "linear")
    assert ax.get_ylim()[1] < 3
    assert far_groups(array - 5) == []
    assert _draw(growing(["x", "y", "z"], 3)).get_title() == ""


def test_rate_of_drift__is_by_the_step():
    line = np.array([1.0, 2.0, 4.0])[:, None, None] * np.ones((1, 2, 2))
    result = trajlab.run("drift", trajlab.from_arrays({"w": line}, steps=[0, 1, 11])).compute()

    (ax,) = _panel(result, "rate")[1]

    assert ax.get_yscale() == "log"
    assert ax.lines[0].get_xdata().tolist() == [1, 11]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [1.0, 0.1])


@pytest.mark.parametrize(("seeds", "explained"), [(3, True), (2, False)])
def test_drift__says_what_bands_are_where_there_are_any(seeds, explained):
    names = [f"{init}-{seed}" for init in "xyzw" for seed in range(seeds)]
    runs = {name: trajlab.from_arrays({"w": np.arange(3.0)[:, None] + np.ones(2) * i}) for i, name in enumerate(names)}
    for name, run in runs.items():
        init, _, seed = name.partition("-")
        run.facts["describe"] = {"init": init, "seed": int(seed)}
    captions = {panel.key: panel.caption for panel in panels(trajlab.run("drift", runs).compute())}

    for key in ("total", "straightness", "rate"):
        assert ("bands their ranges" in captions[key]) == explained


def test_what_never_moved__is_of_the_run_where_the_most_did_not():
    line = np.linspace(1, 2, 4)[:, None, None] * np.ones((1, 3, 3))
    still = np.ones_like(line)
    runs = {
        "all": trajlab.from_arrays({"a": line, "b": line, "c": line}),
        "some": trajlab.from_arrays({"a": line, "b": still, "c": line}),
    }

    panel, (ax,) = _panel(trajlab.run("drift", runs).compute(), "unchanged")

    assert "never changed in run some. " in panel.caption
    assert "2 tensors" in panel.caption
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b"]
    assert max(bar.get_width() for bar in ax.patches) == 1.0
    assert "unchanged" not in {panel.key for panel in panels(trajlab.run("drift", runs["all"]).compute())}
