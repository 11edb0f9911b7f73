"""Colors of runs by a fact."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from xarray import DataArray

from trajlab.explorer.look import Look
from trajlab.explorer.quantity import text_of
from trajlab.figures.marks.colors import SEQUENTIAL
from trajlab.figures.marks.scale import scale_for

MOST_COLORS = 8
"""Values of a fact that have a color each; of more, numbers are shown on a scale."""


LOWEST, HIGHEST = 0.15, 0.92
"""Part of the sequential color map that can be seen on light and dark ground."""


class RunColors(NamedTuple):
    """Colors of runs.

    Attributes
    ----------
    colors
        Color of each run.
    groups
        Value of the fact of each run, as text; empty where there is no fact.
    is_named
        Whether a legend can name the groups.
    """

    colors: list[str]
    groups: list[str]
    is_named: bool


def run_colors(look: Look, fact: pd.Series | None, runs: int) -> RunColors:
    """Return the colors of runs by a fact, of numbers in their order, or one color for all.

    Parameters
    ----------
    look
        Colors of the page.
    fact
        The fact, (run); None for none.
    runs
        Number of runs.
    """
    if fact is None:
        return RunColors([look.categories[0]] * runs, [""] * runs, False)
    groups = [text_of(value) for value in fact]
    kinds = list(dict.fromkeys(groups))
    numbers = as_numbers(fact)
    if len(kinds) <= 2 or numbers is None:
        colors = [look.categories[kinds.index(group) % len(look.categories)] for group in groups]
        return RunColors(colors, groups, len(kinds) <= MOST_COLORS)
    if len(kinds) <= MOST_COLORS:
        ranks = np.unique(numbers, return_inverse=True)[1]
        shares = LOWEST + (HIGHEST - LOWEST) * ranks / max(1, ranks.max())
        colors = [
            to_hex(SEQUENTIAL(share)) if np.isfinite(number) else look.missing
            for share, number in zip(shares, numbers, strict=True)
        ]
        return RunColors(colors, groups, True)
    scale = scale_for(DataArray(numbers))
    shares = np.clip(scale.norm(numbers), 0, 1)
    return RunColors(
        [to_hex(scale.colors(float(share))) if np.isfinite(share) else look.missing for share in shares], groups, False
    )


def as_numbers(column: pd.Series) -> np.ndarray | None:
    """Return a fact as numbers, (run), NaN where a run lacks it; None if one is not a number."""
    try:
        values = [np.nan if value is None or value == "" else float(value) for value in column]
    except (TypeError, ValueError):
        return None
    return np.array(values, np.float64)
