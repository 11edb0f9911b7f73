import pytest
from matplotlib.colors import to_rgb

from trajlab.explorer.look import LOOKS


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
