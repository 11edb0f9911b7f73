import numpy as np

import trajlab
from trajlab.figures import figure, panels


def test_path__is_colored_by_step_from_the_first_to_the_last(study):
    result = trajlab.run("projection", study).compute()

    ax = figure(result, run="sgd-0", parameter="fc.weight")

    path = ax.collections[0]
    chosen = result.scores.sel(run="sgd-0", parameter="fc.weight")
    np.testing.assert_array_equal(path.get_offsets(), chosen[:, :2])
    np.testing.assert_array_equal(path.get_array(), result.step)
    first, last = (marked.get_offsets()[0] for marked in ax.collections[1:])
    assert (tuple(first), tuple(last)) == (tuple(chosen.values[0, :2]), tuple(chosen.values[-1, :2]))
    share = float(result.explained_variance_ratio.sel(run="sgd-0", parameter="fc.weight")[0])
    assert f"{100 * share:.1f} %" in ax.get_xlabel()


def test_direction_consistency__has_a_panel_where_there_are_two_updates(rng):
    walk = {name: rng.standard_normal((4, 5)).cumsum(0) for name in "ab"}
    for steps, shown in ((4, True), (2, False)):
        run = trajlab.from_arrays({name: values[:steps] for name, values in walk.items()})
        drawn = {panel.key: panel for panel in panels(trajlab.run("projection", run).compute())}
        assert ("direction_consistency" in drawn) == shown
    run = trajlab.from_arrays(walk)
    caption = {p.key: p.caption for p in panels(trajlab.run("projection", run).compute())}["direction_consistency"]
    assert "vary by ±0.45" in caption
