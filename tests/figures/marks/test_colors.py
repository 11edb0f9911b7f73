"""All colors of figures are in one file."""

import ast
import re
from pathlib import Path

from matplotlib import colormaps

import trajlab
from trajlab.figures.marks import colors

PACKAGE = Path(trajlab.__file__).parent
FILES = [path for room in ("figures", "reports") for path in (PACKAGE / room).rglob("*.py")]
GRAY_LEVEL = re.compile(r"0\.\d+")


def colors_in(text):
    """Return color maps, hex colors and gray levels that a source names as strings."""
    strings = {
        node.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {s for s in strings if s in colormaps or re.fullmatch("#[0-9A-Fa-f]{3,8}", s) or GRAY_LEVEL.fullmatch(s)}


def test_no_other_file_names_a_color():
    named = {path.name: colors_in(path.read_text(encoding="utf-8")) for path in FILES}

    assert named.pop("colors.py")
    assert {name: actual for name, actual in named.items() if actual - {"gray"}} == {}


def test_colors__of_categories_and_classes_differ():
    assert len(set(colors.CLASSES)) == 10 and set(colors.CATEGORIES) < set(colors.CLASSES)


def test_a_color_elsewhere_is_found():
    assert colors_in('cmap = "viridis"; x = "#fff"; y = "0.5"; z = "run"') == {"viridis", "#fff", "0.5"}
