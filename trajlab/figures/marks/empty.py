"""What a figure says that has nothing to show."""

import textwrap

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from trajlab.figures.marks.colors import INK
from trajlab.figures.marks.labels import PER_INCH, width_of


def say_if_empty(array: xr.DataArray, ax: Axes) -> None:
    """Write on axes that no value of a variable is known, and what to record so that it is."""
    if array.dtype.kind in "iub" or bool(np.isfinite(array.values).any()):
        return
    needs = array.attrs.get("needs", "")
    text = "No value is known" + (f": it needs {needs}." if needs else " at any step.")
    ax.text(
        0.5, 0.5, textwrap.fill(text, max(16, int(0.8 * PER_INCH * width_of(ax)))), transform=ax.transAxes,
        ha="center", va="center", color=INK,
    )  # fmt: skip
