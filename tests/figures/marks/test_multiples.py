import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from trajlab.figures.marks import multiples
from trajlab.figures.marks.scale import scale_for


def norms(**facts):
    """A row that grows over three steps, for each run."""
    count = len(next(iter(facts.values())))
    runs = np.array([f"kaiming_normal-adam-control-{i}" for i in range(count)], dtype=object)
    values = np.arange(count * 3.0).reshape(count, 1, 3)
    coords = {"run": runs, "parameter": ["w"], "step": [0, 1, 2]}
    known = {name: ("run", np.array(own, dtype=object)) for name, own in facts.items()}
    return xr.DataArray(values, {**coords, **known}, ("run", "parameter", "step"))


@pytest.fixture
def restarts():
    """Four runs and those that went on from their starts, which name their parents."""
    optimizers = [name for name in ("adam", "sgd") for _ in range(8)]
    variants = [name for _ in range(2) for name in ("control", "flipped", "moved", "plain") for _ in range(2)]
    seeds = [i % 2 for i in range(16)]
    parents = [
        "" if variant == "plain" else f"{optimizer}-plain-{seed}"
        for optimizer, variant, seed in zip(optimizers, variants, seeds, strict=True)
    ]
    steps = ["0" if parent else "" for parent in parents]
    return norms(optimizer=optimizers, variant=variants, seed=seeds, parent=parents, parent_step=steps)


def rows(steps):
    """Two rows over steps."""
    values = np.arange(2.0 * len(steps)).reshape(2, -1) + 1
    return xr.DataArray(values, {"parameter": ["a", "b"], "step": steps}, ("parameter", "step"))


def _titles(array):
    drawing = Figure(multiples.size(array), layout="constrained")
    multiples.multiples(array, drawing)
    drawing.canvas.draw()
    return [ax.title for ax in drawing.axes if ax.get_title()]


def test_multiples__say_how_many_runs_are_in_a_group_of_several(restarts):
    assert list(multiples.parts_of(restarts))[:2] == ["adam · control ×2", "adam · flipped ×2"]
    assert "×" not in "".join(multiples.parts_of(norms(variant=[f"v{i}" for i in range(13)])))


def test_multiples__say_how_many_groups_are_shown():
    many = norms(variant=[f"v{i}" for i in range(14)])
    few = norms(variant=[f"v{i // 2}" for i in range(14)])

    assert multiples.panel("norm", "Norm", "", many).caption == "12 of 14 groups of runs."
    assert multiples.panel("norm", "Norm", "", few).caption == ("“×n” is the mean of n runs that differ in their seed.")


@pytest.mark.parametrize("count", [4, 8, 12])
def test_multiples__have_titles_that_do_not_overlap(count):
    array = norms(seed=list(range(count)))
    array["run"] = [f"kaiming_normal-adam-{'quite' * (i % 3)}-controlled-and-long-{i}" for i in range(count)]

    titles = _titles(array)

    assert len(titles) == count
    boxes = [title.get_window_extent() for title in titles]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_multiples__leave_out_what_all_names_share():
    assert [title.get_text() for title in _titles(norms(seed=[0, 1]))] == ["control-0", "control-1"]


def test_multiples__show_the_same_steps_of_runs_that_end_early():
    runs = xr.concat([rows([0, 1, 2, 3]), rows([0, 1, 2, 3])], xr.Variable("run", ["a", "b"]))
    runs = runs.where((runs["run"] == "a") | (runs["step"] < 2)).where(runs["step"] > 0)
    drawing = Figure((9, 3), layout="constrained")

    multiples.multiples(runs, drawing)

    shown = [ax.collections[0].get_array() for ax in drawing.axes[:2]]
    assert [one.shape for one in shown] == [(2, 3), (2, 3)]
    assert np.ma.getmaskarray(shown[1])[0].tolist() == [False, True, True]
    assert [label.get_text() for label in drawing.axes[0].get_xticklabels()] == ["1", "2", "3"]


def test_multiples__say_what_gray_is():
    array = rows([0, 1])

    assert multiples.panel("x", "X", "Some.", array).caption == "Some."
    assert multiples.panel("x", "X", "Some.", array.where(array > 1)).caption == "Some. Gray: not known."
    own = multiples.panel("x", "X", "Some.", array.where(array > 1), unknown="Gray: none.")
    assert own.caption == "Some. Gray: none."


@pytest.mark.parametrize(("tops", "log"), [([1, 1.5, 2, 12], True), ([1, 2, 3, 4], False), ([1, 12], False)])
def test_multiples__stretch_the_scale_where_a_row_towers_above_the_others(tops, log):
    values = np.array(tops)[:, None] * np.array([0.5, 1.0])
    array = xr.DataArray(values, {"parameter": list("abcd")[: len(tops)], "step": [0, 1]}, ("parameter", "step"))
    drawing = Figure((9, 3), layout="constrained")

    multiples.multiples(array, drawing)

    norm = drawing.axes[0].collections[0].norm
    assert isinstance(norm, LogNorm) == log
    assert norm.vmax == max(tops)
    assert not isinstance(scale_for(array - 3, rows="parameter").norm, LogNorm)
    assert not isinstance(scale_for((2 * array).round(), rows="parameter").norm, LogNorm)


@pytest.mark.parametrize(("count", "wide"), [(1, 1), (3, 3), (4, 2), (5, 3), (7, 4), (9, 3), (12, 4)])
def test_columns__leave_few_gaps(count, wide):
    assert multiples.columns(count) == wide


def test_size__grows_with_rows_of_pictures_up_to_a_page():
    one, twelve = norms(seed=[0]).isel(run=0), norms(variant=[f"v{i}" for i in range(12)])
    assert multiples.size(one) == pytest.approx((9.2, 1.4)) and multiples.size(twelve) == pytest.approx((9.2, 3.4))
    many = twelve.isel(parameter=[0] * 200)
    assert multiples.size(many) == pytest.approx((9.2, 14.0))
