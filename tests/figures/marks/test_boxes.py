import numpy as np
from matplotlib.figure import Figure

from trajlab.figures.marks.boxes import MOST, boxes


def drawn(quantiles, means):
    ax = Figure((7, 3)).add_subplot()
    return ax, boxes(np.asarray(quantiles, float), np.asarray(means, float), ax, color="#000000")


def test_boxes__fall_with_their_means_and_leave_out_what_is_not_known():
    quantiles = [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [np.nan] * 5, [0, 0, 0, 0, np.inf], [1, 2, 3, 4, 5]]

    ax, shown = drawn(quantiles, [2, 7, 1, 1, np.nan])

    assert shown == 2
    medians = [line for line in ax.lines if len(set(line.get_ydata())) == 1 and len(line.get_xdata()) == 2]
    assert [line.get_ydata()[0] for line in medians] == [7, 2]
    assert [patch.get_path().get_extents().intervaly.tolist() for patch in ax.patches] == [[6, 8], [1, 3]]
    (means,) = [line for line in ax.lines if line.get_marker() == "."]
    assert (means.get_xdata().tolist(), means.get_ydata().tolist()) == ([0, 1], [7, 2])


def test_boxes__too_many_are_thinned_evenly_with_the_largest_and_the_least():
    means = np.arange(200.0)
    quantiles = means[:, None] + np.arange(-2.0, 3)

    ax, shown = drawn(quantiles, means)

    (points,) = [line for line in ax.lines if line.get_marker() == "."]
    assert shown == len(points.get_xdata()) == MOST
    assert points.get_xdata()[[0, -1]].tolist() == [0, 199] and points.get_ydata()[[0, -1]].tolist() == [199, 0]
    assert set(np.diff(points.get_xdata())) <= {4, 5}


def test_boxes__of_nothing_are_empty_axes():
    ax, shown = drawn(np.full((3, 5), np.nan), np.full(3, np.nan))
    assert shown == 0 and not ax.patches and ax.get_xlim() == (-0.8, 0.8)
