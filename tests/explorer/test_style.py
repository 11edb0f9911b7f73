import re

import pytest

pytest.importorskip("bokeh", reason="the page needs trajlab[explore]")

from trajlab.explorer.look import DARK, LIGHT, LOOKS  # noqa: E402
from trajlab.explorer.style import grid_style, ground_of, style_of, widget_style  # noqa: E402


@pytest.mark.parametrize("name", LOOKS)
def test_styles__close_every_brace_and_take_all_colors_from_the_look(name):
    look = LOOKS[name]
    known = {look.ink, look.soft, look.rule, look.missing, look.paper, look.card, *look.categories, "#ffffff"}
    for sheet in (style_of(look), ground_of(look), widget_style(look), grid_style(look)):
        assert sheet.count("{") == sheet.count("}") and "{{" not in sheet
        assert set(re.findall(r"#[0-9a-fA-F]{6}", sheet)) <= known


def test_ground__tells_the_browser_whether_it_is_dark():
    assert "color-scheme: light" in ground_of(LIGHT) and "color-scheme: dark" in ground_of(DARK)
