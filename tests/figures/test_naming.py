"""How runs are told apart and named on figures."""

import pytest
from matplotlib.figure import Figure

import trajlab
from trajlab.figures import figure, panels


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


@pytest.mark.parametrize(("reference", "there"), [(0, "the start"), (20, "step 20")])
def test_axes__name_what_distances_are_taken_from(reference, there):
    result = trajlab.run("drift", trajlab.example(), reference=reference).compute()

    ax = figure(result, variable="total_relative")

    assert ax.get_ylabel().replace("\n", " ") == f"whole network: relative distance from {there}"
    chosen = next(panel for panel in panels(result) if panel.key == "total")
    drawing = Figure(chosen.size)
    chosen.draw(drawing)
    assert drawing.axes[0].get_ylabel().replace("\n", " ").endswith(f"from {there}")
