import numpy as np

import trajlab
from trajlab.figures import figure


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
