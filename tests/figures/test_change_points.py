import numpy as np
from matplotlib.figure import Figure

import trajlab
from tests.figures.axes import row_names
from trajlab.figures import figure, panels


def spiking(rng, at):
    loss = np.exp(0.1 * rng.standard_normal(120))
    loss[at] = 40.0
    return trajlab.from_arrays({}, metrics={"loss": loss, "accuracy": np.exp(0.1 * rng.standard_normal(120))})


def test_change_points__are_marked_at_their_steps(rng):
    runs = {"a": spiking(rng, 60), "b": spiking(rng, 90)}
    result = trajlab.run("change_points", runs).compute()
    ax = figure(result)
    assert row_names(ax) == ["loss metric"]
    offsets = np.concatenate([marks.get_offsets() for marks in ax.collections if len(marks.get_offsets())])
    assert sorted(offsets[offsets[:, 0] > 0][:, 0]) == [60, 90]
    alone = figure(result, run="b")
    assert [text.get_text() for text in alone.get_legend().get_texts()] == ["spike, comes back"]
    assert [panel.key for panel in panels(result)] == ["begins", "series"]
    for panel in panels(result):
        panel.draw(Figure(figsize=panel.size))


def test_change_points__a_run_without_changes_has_no_figure(rng):
    result = trajlab.run("change_points", trajlab.from_arrays({}, metrics={"loss": np.ones(50)})).compute()
    assert panels(result) == []
    assert figure(result) is not None
