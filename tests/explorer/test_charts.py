import pytest

pytest.importorskip("bokeh", reason="the page needs trajlab[explore]")

from trajlab.explorer.charts import chart, style_legend  # noqa: E402
from trajlab.explorer.look import LOOKS  # noqa: E402


def test_a_legend_beside_a_figure_has_a_title_and_the_colors_of_the_page():
    figure = chart(LOOKS["dark"], "title", height=100)
    figure.line([0, 1], [0, 1], legend_label="a")
    style_legend(figure, LOOKS["dark"], title="fact", beside=True)
    assert figure.legend[0] in figure.right and figure.legend[0].title == "fact"
    assert figure.legend[0].label_text_color == LOOKS["dark"].ink


def test_every_figure_can_be_saved_as_png_and_svg():
    figure = chart(LOOKS["light"], "title", height=100)
    assert {"SaveTool", "CustomAction"} <= {type(tool).__name__ for tool in figure.toolbar.tools}
