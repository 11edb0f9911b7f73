"""Empty figures with their tools, in the colors of the page: the parts of all views."""

import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from bokeh.events import Reset, SelectionGeometry, Tap
from bokeh.models import (
    BoxSelectTool,
    ColorMapper,
    CustomAction,
    CustomJS,
    FixedTicker,
    HoverTool,
    LinearColorMapper,
    LogColorMapper,
    NumeralTickFormatter,
    PlainText,
    ResetTool,
    SaveTool,
    Span,
    TapTool,
)
from bokeh.plotting import figure
from matplotlib.colors import Colormap, LogNorm

from trajlab.explorer.look import Look
from trajlab.explorer.step_axis import StepAxis
from trajlab.figures.marks.scale import Scale

_SVG = (
    b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'><text x='12' y='16' font-size='11' "
    b"font-weight='bold' text-anchor='middle' font-family='sans-serif' fill='gray'>SVG</text></svg>"
)
SVG_ICON = f"data:image/svg+xml;base64,{b64encode(_SVG).decode()}"

DOWNLOAD_SVG = """
Bokeh.index.find_one(chart).export('svg').to_blob().then((blob) => {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = 'trajlab.svg'
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10000)
})
"""

TITLE, NARROW_TITLE, HALF_TITLE = 84, 34, 42
"""Characters of a line of a title that leave room for the tools: of a wide page, a narrow one, and of half a page."""

TITLE_PIXELS = 16
"""Height of a further line of a title."""

TICKS = 8
"""Largest number of ticks of a step axis with evenly spaced snapshots."""


def plain(text: str) -> Any:
    """Return text that a figure never shows as a formula, even with dollar signs in it."""
    return PlainText(text=text)


def wrapped(text: str, longest: int) -> str:
    r"""Break text into lines: between its parts where that is enough, else between words, else within names.

    >>> wrapped("layers.0.attention.weight · relative distance", 26)
    'layers.0.attention.weight\nrelative distance'
    >>> wrapped("layers.0.attention.weight", 12)
    'layers.0.\nattention.\nweight'
    """
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for part in paragraph.split(" · "):
            joined = f"{line} · {part}" if line else part
            if len(joined) > longest:
                *before, joined = filter(None, [line, *_pieces(part, longest)])
                lines += before
            line = joined
        lines.append(line)
    return "\n".join(lines)


def _pieces(text: str, longest: int) -> list[str]:
    """Break text after spaces and the separators of names; a word that is too long anywhere."""
    pieces = [""]
    for word in re.findall(r"[^\s._/-]*[\s._/-]+|[^\s._/-]+", text):
        for start in range(0, len(word), longest):
            chunk = word[start : start + longest]
            if len((pieces[-1] + chunk).rstrip()) > longest:
                pieces.append("")
            pieces[-1] += chunk
    return [piece.strip() for piece in pieces]


def chart(
    look: Look, title: str, *, height: int, tools: Sequence[Any] = (), half: bool = False, **options: Any
) -> figure:
    """Return an empty figure in the colors of the page.

    Parameters
    ----------
    look
        Colors and width of the page.
    title
        Title, which is broken into lines.
    height
        Height in pixels, with one line of the title.
    tools
        Tools besides those that save it.
    half
        Whether it is half as wide as the page.
    options
        Further arguments of Bokeh's `figure`.
    """
    title = wrapped(title, NARROW_TITLE if look.narrow else HALF_TITLE if half else TITLE)
    chart = figure(
        height=height + TITLE_PIXELS * title.count("\n"), sizing_mode="stretch_width",
        tools=[*tools, SaveTool(filename="trajlab")], toolbar_location="above",
        background_fill_color=look.card, border_fill_color=look.card, outline_line_color=None, **options,
    )  # fmt: skip
    chart.toolbar.logo = None
    chart.add_tools(svg_tool(chart))
    chart.title.text = plain(title)
    chart.title.text_color, chart.title.text_font_size, chart.title.text_font_style = look.ink, "13px", "normal"
    chart.grid.grid_line_color = look.rule
    chart.axis.axis_line_color = chart.axis.major_tick_line_color = look.rule
    chart.axis.minor_tick_line_color = None
    chart.axis.major_label_text_color = look.soft
    chart.axis.axis_label_text_color = look.ink
    chart.axis.axis_label_text_font_style = "normal"
    chart.axis.major_label_text_font_size = "11px"
    chart.axis.axis_label_text_font_size = "12px"
    return chart


def svg_tool(chart: figure) -> CustomAction:
    """Return the tool that downloads a figure as SVG."""
    return CustomAction(
        icon=SVG_ICON, description="Download SVG", callback=CustomJS(args={"chart": chart}, code=DOWNLOAD_SVG)
    )


def step_chart(
    look: Look,
    axis: StepAxis,
    title: str,
    *,
    height: int,
    window: tuple[int, int] | None,
    on_window: Callable[[float, float], None],
    on_tap: Callable[[float, float], None],
    on_reset: Callable[[], None],
    **options: Any,
) -> figure:
    """Return an empty figure over the steps.

    A brush selects a window, a click selects a step, and reset shows all steps.
    """
    brush = BoxSelectTool(dimensions="width", persistent=False)
    low, high = axis.limits(window)
    shown = chart(look, title, height=height, tools=[brush, TapTool(), ResetTool()], x_range=(low, high), **options)
    shown.toolbar.active_drag = brush
    shown.xaxis.axis_label = "step" + (" (snapshots spaced evenly)" if axis.even else "")
    shown.xaxis.formatter = NumeralTickFormatter(format="0,0")
    if axis.even:
        positions = axis.x(axis.steps)
        inside = np.flatnonzero((positions >= low) & (positions <= high))
        ticks = inside[:: max(1, -(-len(inside) // TICKS))]
        shown.xaxis.ticker = FixedTicker(ticks=positions[ticks].tolist())
        shown.xaxis.major_label_overrides = {float(positions[i]): f"{axis.steps[i]:,.0f}" for i in ticks}

    def brushed(event: SelectionGeometry) -> None:
        if event.final and event.geometry.get("type") == "rect":
            on_window(event.geometry["x0"], event.geometry["x1"])

    shown.on_event(SelectionGeometry, brushed)
    shown.on_event(Tap, lambda event: on_tap(event.x, event.y))
    shown.on_event(Reset, lambda event: on_reset())
    return shown


def style_legend(chart: figure, look: Look, *, title: str = "", beside: bool = False) -> None:
    """Draw the legend of a figure in the colors of the page.

    Parameters
    ----------
    chart
        A figure with a legend.
    look
        Colors of the page.
    title
        Title of the legend.
    beside
        Whether to place it to the right of the figure.
    """
    (legend,) = chart.legend
    legend.update(
        background_fill_alpha=0.0, border_line_color=None, label_text_color=look.ink, title_text_color=look.ink,
        label_text_font_size="11px", title_text_font_size="11px", title_text_font_style="normal", spacing=0, padding=2,
        glyph_width=16,
    )  # fmt: skip
    if title:
        legend.title = title  # Bokeh draws it as plain text
    if beside:
        chart.add_layout(legend, "right")


def marker(chart: figure, look: Look, x: float | None) -> Span:
    """Add and return the line that marks the selected step; it is hidden if `x` is None."""
    line = Span(
        dimension="height", location=0.0 if x is None else x, line_color=look.ink, line_dash="dotted", line_width=1.5,
        visible=x is not None, level="overlay",
    )  # fmt: skip
    chart.add_layout(line)
    return line


def color_mapper(scale: Scale, look: Look) -> ColorMapper:
    """Convert a color scale of figures to a color mapper of Bokeh."""
    low, high = float(scale.norm.vmin or 0.0), float(scale.norm.vmax or 0.0)
    colors = {"nan_color": look.missing, "low": low, "high": high}
    if isinstance(scale.norm, LogNorm):
        return LogColorMapper(_palette(scale.colors, np.linspace(0.0, 1.0, 256)), **colors)
    shares = np.clip(scale.norm(np.linspace(low, high, 256)), 0.0, 1.0)
    return LinearColorMapper(_palette(scale.colors, np.asarray(shares)), **colors)


def _palette(colors: Colormap, shares: np.ndarray) -> list[str]:
    red_green_blue = np.rint(255 * np.asarray(colors(shares))[:, :3]).astype(int)
    return ["#{:02x}{:02x}{:02x}".format(*color) for color in red_green_blue.tolist()]


def hover(tooltips: Sequence[tuple[str, str]], **options: Any) -> HoverTool:
    """Return a tool that shows the values under the pointer."""
    return HoverTool(tooltips=list(tooltips), visible=False, **options)
