import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from tests.figures.axes import row_names
from trajlab.figures.marks.colors import CALM, CATEGORIES, PAPER, VEIL
from trajlab.figures.marks.raster import raster

CODES = np.array([[0, 1, np.nan], [1, 1, 0], [2, np.nan, 0]])


def drawn(**options):
    ax = Figure((7, 4)).add_subplot()
    colors = [CATEGORIES[1], CALM, PAPER]
    raster(CODES, np.array([0, 10, 20]), ax, colors=colors, names=["dead", "active", "none"], **options)
    return ax


def test_raster__colors_cells_by_category_and_lets_the_ground_show():
    ax = drawn(ground_name="unknown")

    mesh = ax.collections[0]
    assert mesh.get_array().filled(-1).tolist() == [[0, 1, -1], [1, 1, 0], [2, -1, 0]]
    shades = mesh.to_rgba(np.array([0.0, 1.0, 2.0]))
    assert shades[0].tolist() == list(to_rgba(CATEGORIES[1])) and shades[1].tolist() == list(to_rgba(*VEIL))
    assert shades[2, 3] == 0 and ax.get_facecolor() == to_rgba(PAPER)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["dead", "active", "none", "unknown"]


def test_raster__names_sections_in_their_middle():
    ax = drawn(sections=["fc1", "fc1", "fc2"])

    assert row_names(ax) == ["fc1", "fc2"] and ax.get_yticks().tolist() == [0.5, 2]
    assert [line.get_ydata()[0] for line in ax.lines] == [1.5]
    assert ax.get_ylim() == (2.5, -0.5)
