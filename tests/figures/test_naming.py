"""How runs are told apart and named on figures."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import trajlab
from trajlab.figures import figure, panels
from trajlab.figures.channel_gradients import _variation
from trajlab.figures.marks import multiples
from trajlab.statistics.studies import groups, short_names, telling_facts


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


def _titles(array):
    drawing = Figure(multiples.size(array), layout="constrained")
    multiples.multiples(array, drawing)
    drawing.canvas.draw()
    return [ax.title for ax in drawing.axes if ax.get_title()]


def test_groups__take_no_parent_for_what_tells_runs_apart(restarts):
    assert telling_facts(restarts) == ["optimizer", "variant", "seed"]
    assert groups(restarts)["adam · control"] == [0, 1]
    assert len(groups(restarts)) == 8


def test_groups__are_told_apart_by_the_step_at_which_they_left_their_parents(restarts):
    restarts["parent_step"][:2] = "500"

    assert {"adam · control · 500", "sgd · control · 0", "adam · plain"} < set(groups(restarts))


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


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["a-b-0", "a-c-0"], ["b-0", "c-0"]),
        (["a-b-c-0", "x-b-c-1"], ["a-0", "x-1"]),
        (["a-0"], ["a-0"]),
        (["0", "1"], ["0", "1"]),
        (["a-0", "a-b-0"], ["a-0", "a-b-0"]),
        ([], []),
    ],
)
def test_short_names__leave_out_what_all_names_share(names, short):
    assert short_names(names) == short


def test_matrices_and_legends__leave_out_what_all_names_share():
    runs = {f"he-{name}-0": trajlab.example(seed=seed) for seed, name in enumerate(["control", "moved", "far"])}
    result = trajlab.run("comparison", runs).compute()

    assert [text.get_text() for text in figure(result).get_legend().get_texts()][0] == "control-0 – moved-0"
    shown = figure(result, variable="total_relative_distance", step=20)
    assert [label.get_text() for label in shown.get_xticklabels()] == ["control-0", "moved-0", "far-0"]


def test_paths__of_many_runs_are_chosen_evenly():
    runs = {f"r-{i}": trajlab.example(seed=i) for i in range(14)}
    panel = next(panel for panel in panels(trajlab.run("projection", runs).compute()) if panel.key == "scores")
    drawing = Figure(panel.size, layout="constrained")

    panel.draw(drawing)

    assert "12 of 14 runs, evenly spaced" in panel.caption
    assert [drawing.axes[i].get_title() for i in (0, 11)] == ["r-0", "r-13"]


def test_channels__of_unlike_runs_have_unlike_marks():
    rng = np.random.default_rng(0)
    cv = xr.DataArray(rng.random((3, 1, 2)), dims=("run", "step", "layer"))
    coords = {"run": list("abc"), "layer": ["x", "y"], "step": [0]}
    result = xr.Dataset({"em_sum_channel_cv": cv, "ab_sum_channel_cv": cv, "cv_ratio": cv}, coords)
    drawing = {}
    for name, one in {
        "unlike": result.assign_coords(optimizer=("run", ["sgd", "sgd", "still"])),
        "like": result,
    }.items():
        drawing[name] = Figure()
        _variation(one, drawing[name])

    (ax,), (alike,) = (own.axes for own in drawing.values())
    assert [line.get_markerfacecolor() == "none" for line in ax.lines] == [False, True] * 2
    assert [len(line.get_xdata()) for line in ax.lines] == [4, 2] * 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["emission", "absorption", "sgd", "still"]
    assert [text.get_text() for text in alike.get_legend().get_texts()] == ["emission", "absorption"]


@pytest.mark.parametrize(("reference", "there"), [(0, "the start"), (20, "step 20")])
def test_axes__name_what_distances_are_taken_from(reference, there):
    result = trajlab.run("drift", trajlab.example(), reference=reference).compute()

    ax = figure(result, variable="total_relative")

    assert ax.get_ylabel().replace("\n", " ") == f"whole network: relative distance from {there}"
    chosen = next(panel for panel in panels(result) if panel.key == "total")
    drawing = Figure(chosen.size)
    chosen.draw(drawing)
    assert drawing.axes[0].get_ylabel().replace("\n", " ").endswith(f"from {there}")
