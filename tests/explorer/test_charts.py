import pytest

pytest.importorskip("bokeh", reason="the page needs trajlab[explore]")

import numpy as np  # noqa: E402
import xarray as xr  # noqa: E402
from matplotlib.colors import to_hex  # noqa: E402

from trajlab.explorer.charts import NARROW_TITLE, TITLE_PIXELS, chart, color_mapper, style_legend, wrapped  # noqa: E402
from trajlab.explorer.look import LOOKS  # noqa: E402
from trajlab.figures.marks.scale import scale_for  # noqa: E402


def test_a_legend_beside_a_figure_has_a_title_and_the_colors_of_the_page():
    figure = chart(LOOKS["dark"], "title", height=100)
    figure.line([0, 1], [0, 1], legend_label="a")
    style_legend(figure, LOOKS["dark"], title="fact", beside=True)
    assert figure.legend[0] in figure.right and figure.legend[0].title == "fact"
    assert figure.legend[0].label_text_color == LOOKS["dark"].ink


def test_every_figure_can_be_saved_as_png_and_svg():
    figure = chart(LOOKS["light"], "title", height=100)
    assert {"SaveTool", "CustomAction"} <= {type(tool).__name__ for tool in figure.toolbar.tools}


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [-1.0, 0.5, 3.0], [1e-4, 1.0, 1e4]], ids=["up", "about 0", "log"])
def test_colors_are_those_of_figures_from_the_lowest_to_the_highest_value(values):
    scale = scale_for(xr.DataArray(values, dims="step"))
    low, high = scale.norm.vmin, scale.norm.vmax
    mapper = color_mapper(scale, LOOKS["light"])
    at = np.geomspace(low, high, 256) if type(mapper).__name__ == "LogColorMapper" else np.linspace(low, high, 256)
    off = [np.subtract(_levels(color), _levels(to_hex(scale.colors(float(scale.norm(value))))))
           for color, value in zip(mapper.palette, at, strict=True)]  # fmt: skip
    assert len(mapper.palette) == 256 and np.abs(off).max() <= 4  # neighbors in the map differ by so much


def _levels(color):
    return [int(color[i : i + 2], 16) for i in (1, 3, 5)]


@pytest.mark.parametrize("text", ["a " * 60, "layers.0." * 12, "x" * 100, "short", "first · second\nthird " + "y" * 40])
def test_wrapped_text_loses_nothing_and_no_line_is_too_long(text):
    lines = wrapped(text, 20).split("\n")
    assert max(map(len, lines)) <= 20

    def letters(part):
        return "".join(part.replace("·", "").split())

    assert letters("".join(lines)) == letters(text)


def test_a_title_on_a_phone_takes_more_lines_and_no_room_from_the_figure():
    narrow, title = LOOKS["light"]._replace(narrow=True), "layers.0.attention.weight · relative distance from the start"
    lines = chart(narrow, title, height=100).title.text.text.split("\n")
    assert len(lines) == 2 and max(map(len, lines)) <= NARROW_TITLE
    assert chart(narrow, title, height=100).height == 100 + TITLE_PIXELS
    assert chart(LOOKS["light"], title, height=100).title.text.text == title
