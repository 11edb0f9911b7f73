import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from trajlab.figures.marks.colors import SEQUENTIAL
from trajlab.figures.marks.singular import singular, step_bar


def drawn(values):
    ax = Figure((5, 3)).add_subplot()
    values = np.asarray(values, float)
    coords = {"step": 100 * np.arange(len(values)), "direction": np.arange(values.shape[1])}
    singular(xr.DataArray(values, coords, ("step", "direction")), ax)
    return ax


def test_singular__draws_a_line_for_each_step_from_dark_to_light():
    ax = drawn([[4, 2], [3, 1]])

    assert [line.get_ydata().tolist() for line in ax.lines] == [[4, 2], [3, 1]]
    colors = SEQUENTIAL.resampled(256)
    assert [line.get_color() for line in ax.lines] == [colors(0.0), colors(1.0)] and ax.get_yscale() == "log"


def test_singular__leaves_out_what_is_next_to_nothing_and_what_is_not_known():
    ax = drawn([[4, 1, 1e-4], [np.nan] * 3])
    assert [line.get_ydata().tolist() for line in ax.lines] == [[4, 1], []]
    zero = drawn([[0, 0]])
    assert zero.get_yscale() == "linear" and not len(zero.lines[0].get_ydata())


def test_step_bar__is_there_for_several_steps():
    ax = drawn([[1, 1], [2, 1]])
    step_bar(np.array([0, 1500]), [ax])
    bar = ax.figure.axes[1]
    assert bar.get_ylabel() == "step" and bar.yaxis.get_major_formatter()(1500, 0) == "1,500"
    step_bar(np.array([0]), [drawn([[1, 1]])])
