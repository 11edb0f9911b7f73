import pytest

pytest.importorskip("bokeh", reason="the page needs trajlab[explore]")

from matplotlib.colors import to_rgb  # noqa: E402

from trajlab.explorer.look import LOOKS, chart, style_legend  # noqa: E402


def luminance(color):
    """Return the relative luminance of WCAG 2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", LOOKS)
def test_text_has_the_contrast_that_wcag_asks_for(theme):
    look = LOOKS[theme]
    for text in (look.ink, look.soft):
        for ground in (look.paper, look.card):
            dark, light = sorted(map(luminance, (text, ground)))
            assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_a_legend_beside_a_figure_has_a_title_and_the_colors_of_the_page():
    figure = chart(LOOKS["dark"], "title", height=100)
    figure.line([0, 1], [0, 1], legend_label="a")
    style_legend(figure, LOOKS["dark"], title="fact", beside=True)
    assert figure.legend[0] in figure.right and figure.legend[0].title == "fact"
    assert figure.legend[0].label_text_color == LOOKS["dark"].ink


def test_every_figure_can_be_saved_as_png_and_svg():
    figure = chart(LOOKS["light"], "title", height=100)
    assert {"SaveTool", "CustomAction"} <= {type(tool).__name__ for tool in figure.toolbar.tools}
