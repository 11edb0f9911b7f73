"""Rasters: a colored cell for each entry or unit and step, by category."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap, to_rgba
from matplotlib.patches import Patch

from trajlab.figures.marks.colors import CALM, GRID, INK, PAPER, VEIL
from trajlab.figures.marks.heat import edges
from trajlab.figures.marks.labels import name_rows, step_axis


def raster(
    codes: np.ndarray, steps: np.ndarray, ax: Axes, *, colors: Sequence[str], names: Sequence[str],
    sections: Sequence[str] = (), ground: str = PAPER, ground_name: str = "",
) -> None:  # fmt: skip
    """Draw categories as colored cells.

    Parameters
    ----------
    codes
        Position of the category in `names`, NaN for none, (row, step).
    steps
        Steps of the columns.
    ax
        Where to draw.
    colors, names
        Color and name of each category.
    sections
        Name of the section that each row belongs to; a rule divides sections, and their names stand beside them.
    ground, ground_name
        Color where there is no category, and what the legend calls it.
    """
    ax.set_facecolor(ground)
    norm = BoundaryNorm(np.arange(len(colors) + 1) - 0.5, len(colors))
    rows = np.arange(len(codes) + 1) - 0.5
    shown = np.ma.masked_invalid(codes)
    shades = [
        to_rgba("none") if color == ground else to_rgba(*VEIL) if color == CALM else to_rgba(color) for color in colors
    ]
    ax.pcolormesh(edges(steps), rows, shown, cmap=ListedColormap(shades), norm=norm, rasterized=True)
    ax.set_ylim(len(codes) - 0.5, -0.5)
    if len(sections):
        starts = [i for i, name in enumerate(sections) if i == 0 or name != sections[i - 1]]
        ends = [*starts[1:], len(sections)]
        for start in starts[1:]:
            ax.axhline(start - 0.5, color=INK, linewidth=0.5, alpha=0.6)
        middles = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
        name_rows(ax, [str(sections[start]) for start in starts], middles)
    step_axis(ax, steps)
    if ground_name:
        colors, names = [*colors, ground], [*names, ground_name]
    handles = [Patch(facecolor=c, edgecolor=GRID, linewidth=0.5, label=n) for c, n in zip(colors, names, strict=True)]
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, frameon=False)
