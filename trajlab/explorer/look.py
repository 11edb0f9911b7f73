"""How the page looks: its colors, light and dark, and whether it is as narrow as a phone."""

from typing import NamedTuple

from trajlab.figures.marks.colors import CATEGORIES, GRID, INK, MISSING, PAPER


class Look(NamedTuple):
    """Colors and width of the page.

    Attributes
    ----------
    ink, soft
        Text, and text of less weight.
    rule, missing, paper, card
        Lines, unknown values, and the grounds of the page and of its parts.
    categories
        Lines and groups.
    narrow
        Whether the page is as narrow as a phone: names and titles are then shorter.
    """

    ink: str
    soft: str
    rule: str
    missing: str
    paper: str
    card: str
    categories: tuple[str, ...]
    narrow: bool = False


LIGHT = Look(INK, "#5b626d", GRID, MISSING, "#f6f7f9", PAPER, CATEGORIES)
DARK = Look(
    "#e2e5ea", "#a6adb8", "#3a4049", "#3a4049", "#15181c", "#1b1f24",
    ("#4a9fdd", "#ee7b35", "#27b98d", "#d98fb8", "#e6ac2e", "#7cc4ee", "#a78bd0", "#a0a0a0"),
)  # fmt: skip
LOOKS = {"light": LIGHT, "dark": DARK}
