import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from trajlab.figures.marks.densities import densities


def drawn(counts, bins, **options):
    ax = Figure((7, 3)).add_subplot()
    histogram = xr.DataArray(counts, {"step": 10 * np.arange(len(counts))}, ("step", "bin"))
    densities(histogram, np.asarray(bins, float), ax, **options)
    return ax


def test_densities__are_per_width_and_relative_to_the_densest_bin():
    """Half of 8 entries in a bin of width 1, half in one of width 2; then all of 4 in the wide one."""
    ax = drawn([[4, 4], [0, 4]], [0, 1, 3])

    shown = ax.collections[0].get_array()
    np.testing.assert_allclose(shown.filled(-1), [[1, -1], [0.5, 1]])
    assert len(ax.figure.axes) == 2 and ax.figure.axes[1].get_ylabel() == "density, peak = 1"
    assert len(drawn([[4, 4], [0, 4]], [0, 1, 3], bar=False).figure.axes) == 1


def test_densities__leave_out_steps_without_a_histogram():
    ax = drawn([[1, 1], [np.nan, np.nan], [3, 1]], [0, 1, 2], bar=False)
    assert ax.collections[0].get_array().shape == (2, 2)


@pytest.mark.parametrize(("counts", "bins"), [([[3.0]], [1, 1]), ([[0.0]], [0, 1]), ([[3.0]], [0, np.nan])])
def test_densities__without_width_or_entries_say_so(counts, bins):
    ax = drawn(counts, bins)
    assert [text.get_text() for text in ax.texts] == ["no spread"] and not ax.collections
