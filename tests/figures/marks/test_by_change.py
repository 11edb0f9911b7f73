import numpy as np
import xarray as xr
from matplotlib import pyplot

from trajlab.figures.marks.by_change import GROUPS, by_change, grid, height, mixed


def result_of(changed, unchanged):
    edges = np.broadcast_to(np.linspace(-1.0, 1.0, np.shape(changed)[-1] + 1), (*np.shape(changed)[:-1], 5))
    dims = ("parameter",)[: np.ndim(changed) - 1]
    counts = dict(zip(GROUPS, (changed, unchanged), strict=True))
    return xr.Dataset(
        {name: ((*dims, "bin"), np.array(values, float)) for name, values in counts.items()}
        | {"bin_edges": ((*dims, "bin_edge"), edges)},
        {"parameter": ["a.weight", "b.weight", "c.weight"]} if dims else {},
    )


def test_by_change__draws_the_density_of_each_group_and_the_share_of_the_changed():
    _, ax = pyplot.subplots()
    by_change(result_of([1, 0, 0, 1], [0, 6, 0, 0]), ax)
    changed, unchanged = (patch.get_data().values for patch in ax.patches)
    np.testing.assert_allclose(changed, [1, 0, 0, 1])  # half of two entries in a bin of width 1/2
    np.testing.assert_allclose(unchanged, [0, 2, 0, 0])
    assert [text.get_text() for text in ax.texts] == ["25 % changed"]


def test_by_change__of_a_group_without_entries_is_flat():
    _, ax = pyplot.subplots()
    by_change(result_of([0, 0, 0, 0], [1, 1, 1, 1]), ax)
    assert ax.patches[0].get_data().values.tolist() == [0, 0, 0, 0]
    assert [text.get_text() for text in ax.texts] == ["0 % changed"]
    _, ax = pyplot.subplots()
    by_change(result_of([0, 0, 0, 0], [np.nan] * 4), ax)
    assert [text.get_text() for text in ax.texts] == ["no spread"]


def test_grid__has_axes_for_each_parameter_and_one_legend():
    result = result_of([[1, 0, 0, 1], [0] * 4, [1] * 4], [[1] * 4, [1] * 4, [0] * 4])
    assert mixed(result).tolist() == [True, False, False]
    figure = pyplot.figure(figsize=(9.2, height(3)))
    grid(result, ["a.weight", "c.weight"], figure)
    assert [ax.get_title() for ax in figure.axes] == ["a.weight", "c.weight"]
    assert [ax.get_legend() is not None for ax in figure.axes] == [False, True]
