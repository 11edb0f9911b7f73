import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from trajlab.figures.marks.quantile_fan import quantile_fan


def drawn(levels, values):
    ax = Figure((6, 3)).add_subplot()
    coords = {"step": 10 * np.arange(len(values)), "quantile": levels}
    quantile_fan(xr.DataArray(np.asarray(values, float), coords, ("step", "quantile")), ax)
    return ax


def test_quantile_fan__pairs_quantiles_about_the_median():
    ax = drawn([0.05, 0.25, 0.5, 0.75, 0.95], [[0, 1, 2, 3, 4], [0, 2, 4, 6, 8]])

    assert [band.get_label() for band in ax.collections] == ["5 to 95 %", "25 to 75 %"]
    assert [(line.get_label(), line.get_ydata().tolist()) for line in ax.lines] == [("median", [2, 4])]
    outer, inner = ax.collections
    assert len(outer.get_paths()) == 2 and len(inner.get_paths()) == 1  # the outer one leaves the inner one out
    strips = sorted(path.get_extents().intervaly.tolist() for path in outer.get_paths())
    assert strips == [[0, 2], [3, 8]]
    assert inner.get_paths()[0].get_extents().intervaly.tolist() == [1, 6]


def test_quantile_fan__a_quantile_without_a_counterpart_is_a_line():
    ax = drawn([0.1, 0.5], [[0, 1], [2, 3]])
    assert [line.get_label() for line in ax.lines] == ["10 %", "median"] and not ax.collections


def test_quantile_fan__leaves_out_steps_without_quantiles():
    ax = drawn([0.5], [[1], [np.nan], [3]])
    assert ax.lines[0].get_xdata().tolist() == [0, 20]
