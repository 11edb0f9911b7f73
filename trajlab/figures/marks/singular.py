"""Singular values of a matrix, a line for each step."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from trajlab.figures.marks.colors import SEQUENTIAL
from trajlab.figures.marks.labels import value_axis

LEAST = 1e-3
"""Singular values below this share of the largest are left out."""


def singular(values: xr.DataArray, ax: Axes) -> None:
    """Draw singular values.

    Parameters
    ----------
    values
        The singular values, (step, direction).
    ax
        Where to draw.
    """
    values = values.transpose("step", "direction")
    norm = _step_norm(values["step"].values)
    direction = values["direction"].values
    for step, row in zip(values["step"].values, values.values, strict=True):
        is_shown = row > LEAST * np.nanmax(row, initial=0.0)
        ax.plot(
            direction[is_shown], row[is_shown], color=_colors()(norm(step)), marker="o", markersize=1.6, linewidth=0.9
        )
    if bool((values > 0).any()):
        ax.set_yscale("log")
        value_axis(ax.yaxis, values, log=True)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set_xlabel("direction")
    ax.set_ylabel("singular value")


def _step_norm(steps: np.ndarray) -> Normalize:
    return Normalize(float(steps[0]), float(steps[-1]) if len(steps) > 1 else float(steps[0]) + 1.0)


def _colors() -> Any:
    return SEQUENTIAL.resampled(256)


def step_bar(steps: np.ndarray, axes: list[Axes]) -> None:
    """Add what says which color is which step."""
    if len(steps) > 1:
        bar = axes[0].figure.colorbar(
            ScalarMappable(_step_norm(steps), _colors()), ax=axes, label="step", fraction=0.04, pad=0.015
        )
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        bar.outline.set_visible(False)
