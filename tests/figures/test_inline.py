"""Each rewriting of an SVG file that puts it into a page."""

import pytest

from trajlab.figures.inline import inline_svg, inlined
from trajlab.figures.marks.colors import CATEGORIES, INK


def body(inner):
    """Return what becomes of the inside of an SVG file."""
    svg = f'<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg viewBox="0 0 72 36" width="72pt">{inner}</svg>\n'
    return inlined(svg, name="n", label="L").removeprefix('<svg viewBox="0 0 72 36" role="img" aria-label="L">')


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("\n <metadata>\n <rdf/>\n</metadata><g/>", "<g/>"),
        ("<!-- axes\n 1 --><g/>", "<g/>"),
        ('<g id="axes_1"><path id="m0"/><use xlink:href="#m0"/></g>', '<g><path id="n-m0"/><use href="#n-m0"/></g>'),
        ('<clipPath id="c"/><g clip-path="url(#c)"/>', '<clipPath id="n-c"/><g clip-path="url(#n-c)"/>'),
        (
            "<text style=\"font: 8px 'DejaVu Sans', sans-serif; x: 1\">a</text>",
            '<text style="font-size: 8px; x: 1">a</text>',
        ),
        ('<text style="font: italic 7.5px X">a</text>', '<text style="font-size: 7.5px">a</text>'),
        ("<text style=\"x: 1; font-family: 'DejaVu Sans';\">a</text>", '<text style="x: 1;">a</text>'),
        ("<g>\n  <g/>\n</g>", "<g><g/></g>"),
        (
            '<path d="M 1.23456 2\nL 3.999 4"/><use x="1.239" y="2.5"/>',
            '<path d="M 1.23 2 L 3.99 4"/><use x="1.23" y="2.5"/>',
        ),
        (
            f'<g style="fill: {INK}; stroke: {CATEGORIES[0].lower()}"/>',
            '<g style="fill: var(--ink); stroke: var(--c0)"/>',
        ),
    ],
    ids=["metadata", "comments", "ids", "clips", "font", "font style", "family", "blanks", "digits", "colors"],
)
def test_inlined__rewrites(before, after):
    assert body(before) == f"{after}</svg>"


def test_inlined__is_labeled_and_escapes_its_label():
    svg = inlined('<svg viewBox="0 0 1 1"></svg>', name="n", label='a "b" < c')

    assert svg == '<svg viewBox="0 0 1 1" role="img" aria-label="a &quot;b&quot; &lt; c"></svg>'


def test_inline_svg__draws_a_figure_of_the_size_asked_for():
    svg = inline_svg(
        lambda figure: figure.add_subplot().plot([0, 1], color=CATEGORIES[0]), (2.0, 1.0), name="f", label="L"
    )

    assert svg.startswith('<svg viewBox="0 0 144 72" role="img" aria-label="L">') and svg.endswith("</svg>")
    assert 'id="f-' in svg and "var(--c0)" in svg and "<metadata" not in svg
