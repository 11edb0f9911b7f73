"""Figures as SVG elements of a page, in the colors of its text and ground."""

import re
from collections.abc import Callable
from html import escape
from io import StringIO
from pathlib import Path

import matplotlib.style
from matplotlib.figure import Figure

from trajlab.figures.marks.colors import CALM, CATEGORIES, GRID, INK, MISSING, PAPER

THEMED = {
    INK: "var(--ink)",
    GRID: "var(--rule)",
    MISSING: "var(--missing)",
    PAPER: "var(--paper)",
    CALM: "var(--calm)",
} | {color: f"var(--c{i})" for i, color in enumerate(CATEGORIES)}
"""Colors that the page sets, for light and for dark."""

STYLE = Path(__file__).with_name("trajlab.mplstyle")

DPI = 130


def inline_svg(draw: Callable[[Figure], object], size: tuple[float, float], *, name: str, label: str) -> str:
    """Draw a figure and return it as an SVG element.

    Parameters
    ----------
    draw
        Draws it on an empty figure.
    size
        Width and height in inches.
    name
        Unique in the page; the same figure under the same name gives the same bytes.
    label
        Text for screen readers.
    """
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        text = StringIO()
        figure.savefig(text, format="svg", dpi=DPI, metadata={"Date": None, "Creator": None})
    return inlined(text.getvalue(), name=name, label=label)


def inlined(svg: str, *, name: str, label: str) -> str:
    """Rewrite an SVG file by matplotlib as an element of a page: shorter, in the page's fonts and colors.

    Parameters
    ----------
    svg
        The file.
    name
        Prefix of the ids that remain, those that something refers to.
    label
        Text for screen readers.
    """
    svg = svg[svg.index("<svg") :].rstrip()
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*<!--.*?-->", "", svg, flags=re.DOTALL)
    referenced = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in referenced else "", svg)
    svg = re.sub(r'((?:href="|url\()#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"font: (?:[a-z]+ )*([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    svg = re.sub(r">\s+<", "><", svg)
    svg = re.sub(r' (?:d|x|y)="[^"]*"', _brief, svg)
    for color, variable in THEMED.items():
        svg = re.sub(color, variable, svg, flags=re.IGNORECASE)
    box = re.search(r'viewBox="([^"]+)"', svg)
    opening = f'<svg viewBox="{box[1] if box else ""}" role="img" aria-label="{escape(label)}">'
    svg = opening + svg.partition(">")[2]
    return svg.replace("xlink:href", "href")


def _brief(coordinates: re.Match[str]) -> str:
    """Round coordinates down to a hundredth of a point, on one line."""
    return " " + " ".join(re.sub(r"(\.\d\d)\d+", r"\1", coordinates[0]).split())
