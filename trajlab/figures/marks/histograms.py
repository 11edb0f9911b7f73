"""Histograms that move: the density at each step, over the outline of that at the first."""

from collections.abc import Mapping
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajlab.figures.marks.colors import CATEGORIES, INK
from trajlab.figures.marks.labels import shorten
from trajlab.figures.panel import Frames

HEAD = 2.0
"""Height of a picture in peaks of a typical step; what is higher at single steps is cut off."""


def histograms(
    parts: Mapping[str, tuple[np.ndarray, np.ndarray]], steps: np.ndarray, *, columns: int, title: str = ""
) -> Frames:
    """Return the frames of histograms side by side, each on the same axes at all steps.

    Parameters
    ----------
    parts
        Of each histogram by title the counts, (step, bin), and the edges of the bins.
    steps
        The steps.
    columns
        Histograms side by side.
    title
        What all of them show.
    """
    densities = {name: _density(*part) for name, part in parts.items()}
    rows = ceil(len(parts) / columns)

    def draw(figure: Figure, position: int) -> None:
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax in axes[len(parts) :]:
            ax.remove()
        for ax, (name, density) in zip(axes, densities.items(), strict=False):
            _outlined(density, position, parts[name][1], ax)
            ax.set_title(shorten(name, 34))
        words = ", ".join(filter(None, [title, f"step {steps[position]:,}"]))
        figure.suptitle(words, x=0.01, horizontalalignment="left", fontsize="medium")

    return Frames(steps, (2.5 * columns + 0.6, 1.7 * rows + 0.5), draw)


def _density(counts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the density of values, (step, bin); NaN where there are none, or the bins have no width."""
    with np.errstate(invalid="ignore", divide="ignore"):
        density = counts / counts.sum(1, keepdims=True) / np.diff(edges)
    return np.where(np.isfinite(density), density, np.nan)


def _outlined(density: np.ndarray, position: int, edges: np.ndarray, ax: Axes) -> None:
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    finite = density[np.isfinite(density).all(1)]
    if not len(finite):
        ax.text(0.5, 0.5, "no spread", transform=ax.transAxes, ha="center", va="center")
        return
    peaks = finite.max(1)
    ax.stairs(np.nan_to_num(density[position]), edges, fill=True, color=CATEGORIES[0], alpha=0.75)
    ax.stairs(finite[0], edges, color=INK, linewidth=0.8)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(0.0, 1.05 * min(HEAD * float(np.median(peaks)), float(peaks.max())))
