"""The graph of a network: its modules and the functions between them, from the inputs down to the output."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Curve

from trajlab.errors import BadSetting
from trajlab.figures.inline import STYLE
from trajlab.figures.marks.colors import CATEGORIES, DETAIL, LINK, NODES, OUTLINE
from trajlab.replays.module_graph import Node, module_graph
from trajlab.runs.disk.atomic import check_free, write_file
from trajlab.runs.disk.paths import as_path
from trajlab.runs.trajectory import Trajectory

ROW = 0.2
"""Height of a node in inches."""

SORTS = {
    "convolution": ("Conv",),
    "linear": ("Linear", "Embedding"),
    "attention": ("Attention",),
    "recurrence": ("LSTM", "GRU", "RNN"),
    "normalization": ("Norm",),
    "pooling": ("Pool",),
    "activation": ("LU", "Tanh", "Sigmoid", "Soft", "Swish", "Mish"),
}
"""Sorts of modules, and what stands in the names of their classes."""

OTHER, FUNCTION, END = NODES
COLORS = dict(zip(SORTS, CATEGORIES, strict=False)) | NODES


def save_network(trajectory: Trajectory, out: str | Path, *, overwrite: bool = False) -> list[Node]:
    """Draw the network of a run, write the picture, and return what it shows.

    Parameters
    ----------
    trajectory
        A run that names its model and has a probe, or was given both.
    out
        The picture; its ending says the format.
    overwrite
        Whether a picture that exists is replaced.

    Raises
    ------
    OutputExists
        The picture exists and is not to be overwritten.
    BadSetting
        The format is unknown.
    MissingData
        The run names no model, or has no probe.
    """
    out = as_path(out)
    ending = out.suffix.removeprefix(".")
    formats = FigureCanvasBase.get_supported_filetypes()
    if ending not in formats:
        raise BadSetting(
            f"cannot write the picture {out}: its name must end in one of {', '.join(sorted(formats))}; change it."
        )
    if not overwrite:
        check_free(out)
    nodes = module_graph(trajectory)
    with matplotlib.style.context(STYLE):
        drawing = Figure(figsize=(8.6, 1.4 + ROW * len(nodes)), layout="constrained")
        draw_network(nodes, drawing.add_subplot())
        picture = BytesIO()
        drawing.savefig(picture, format=ending, dpi=110, facecolor="white")
    write_file(out, picture.getvalue())
    return nodes


def draw_network(nodes: Sequence[Node], ax: Axes) -> Axes:
    """Draw nodes in the order of the pass, one a row; a curve goes to each node from those that feed it."""
    ax.set_axis_off()
    widest = max((row - source for row, node in enumerate(nodes) for source in node.sources), default=1)
    ax.set(xlim=(-1.1, 6.8), ylim=(len(nodes) + 0.5, -1.2))
    totals = [sum(getattr(node, name) for node in nodes) for name in ("parameters", "multiply_adds")]
    for x, name, total in zip((5.6, 6.8), ("parameters", "multiply–adds"), totals, strict=True):
        ax.text(x, -1, name, va="center", ha="right", fontsize=7, color=DETAIL)
        ax.text(x, len(nodes), f"{total:,}", va="center", ha="right", fontsize=7, fontweight="bold", color=DETAIL)
    ax.text(3.8, -1, "output of one sample", va="center", fontsize=7, color=DETAIL)
    ax.text(2.3, len(nodes), "whole network", va="center", fontsize=7, fontweight="bold", color=DETAIL)
    for row, node in enumerate(nodes):
        for source in node.sources:
            ax.add_patch(_edge(source, row, widest))
    for row, node in enumerate(nodes):
        _draw(node, row, ax)
    sorts = [sort for sort in COLORS if sort in map(sort_of, nodes)]
    handles: list[Any] = [
        Line2D([], [], linestyle="", marker="o", color=COLORS[sort], markeredgecolor=OUTLINE, label=sort)
        for sort in sorts
    ]
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False)
    return ax


def sort_of(node: Node) -> str:
    """Return the kind of a node, one of `COLORS`.

    >>> sort_of(Node("fc", "module", "Linear")), sort_of(Node("add", "function"))
    ('linear', 'function')
    """
    if node.kind != "module":
        return FUNCTION if node.kind == "function" else END
    sorts = (sort for sort, parts in SORTS.items() if any(part in node.module_class for part in parts))
    return next(sorts, OTHER)


def _draw(node: Node, row: int, ax: Axes) -> None:
    sort = sort_of(node)
    size = 4.5 if sort == FUNCTION else 6
    ax.plot(0, row, "o", color=COLORS[sort], markeredgecolor=OUTLINE, markersize=size, zorder=3)
    style = "italic" if sort == FUNCTION else "normal"
    ax.text(0.15, row, node.name, va="center", fontsize=8, fontstyle=style)
    ax.text(2.3, row, node.module_class, va="center", fontsize=7, color=DETAIL)
    ax.text(3.8, row, " × ".join(map(str, node.shape)), va="center", fontsize=7, color=DETAIL)
    for number, x in ((node.parameters, 5.6), (node.multiply_adds, 6.8)):
        if number and node.kind == "module":
            ax.text(x, row, f"{number:,}", va="center", ha="right", fontsize=7, color=DETAIL)


def _edge(source: int, row: int, widest: int) -> PathPatch:
    """Return a line to the next row, or a curve around the rows between, the wider the more there are."""
    bulge = 0.0 if row - source == 1 else -0.25 - 1.15 * (row - source) / max(widest, 2)
    points = [(0, source), (bulge, source), (bulge, row), (0, row)]
    curve = Curve(points, [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4])
    return PathPatch(curve, facecolor="none", edgecolor=LINK, linewidth=1.0)
