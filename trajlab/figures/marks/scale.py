"""Scales: which color map suits which values, and from where to where it runs."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.colors import Colormap, LogNorm, Normalize, PowerNorm, TwoSlopeNorm

from trajlab.figures.marks.colors import DIVERGING, SEQUENTIAL

DECADES = 2.5
"""Values that span more powers of ten than this are shown on a logarithmic scale."""


TOWERING = 5.0
"""A row whose largest value is this factor above that of the middle row takes the whole scale."""


class Scale(NamedTuple):
    """How values become colors."""

    norm: Normalize
    colors: Colormap
    extend: str = "neither"

    def show(self, values: np.ndarray) -> np.ndarray:
        """Move zeros and infinities, which a scale may not have, to its ends."""
        low, high = float(self.norm.vmin or 0.0), float(self.norm.vmax or 0.0)
        shown = np.where(np.isposinf(values), high, np.where(np.isneginf(values), low, values))
        return np.where(shown < low, low, shown) if isinstance(self.norm, LogNorm) else shown


def scale_for(
    array: xr.DataArray, *, center: float | None = None, reach: float = 0.0, rows: str | None = None
) -> Scale:
    """Choose colors for values: diverging about a center or zero, else dark to light; stretched over decades.

    Parameters
    ----------
    array
        What is to be shown, all of it if several axes share the scale.
    center
        Value that the colors diverge from; zero where there are values on both sides of it.
    reach
        How far the colors reach at least on both sides of the center, so that small differences look small.
    rows
        Dim of rows. If one row towers above the others, the scale is stretched, too.
    """
    values = np.asarray(array.values, np.float64)
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return Scale(Normalize(0.0, 1.0), SEQUENTIAL)
    low, high = float(finite.min()), float(finite.max())
    extend = {(True, True): "both", (True, False): "max", (False, True): "min"}.get(
        (bool(np.isposinf(values).any()), bool(np.isneginf(values).any())), "neither"
    )
    if center is not None or low < 0 < high:
        middle = center or 0.0
        reach = max(high - middle, middle - low, reach) or 1.0
        return Scale(TwoSlopeNorm(middle, middle - reach, middle + reach), DIVERGING, extend)
    if is_share(array):
        top = 1.0 if high > 0.5 else high or 1.0
        return Scale(PowerNorm(0.5, 0.0, top) if spans_decades(finite) else Normalize(0.0, top), SEQUENTIAL, extend)
    if spans_decades(finite):
        return Scale(LogNorm(float(finite[finite > 0].min()), high), SEQUENTIAL, "min" if low == 0 else extend)
    if rows is not None and towers(array, rows):
        least = max(float(finite[finite > 0].min()), high / 1e3)
        return Scale(LogNorm(least, high), SEQUENTIAL, "min" if low < least else extend)
    return Scale(Normalize(low, high if high > low else low + (abs(low) or 1.0)), SEQUENTIAL, extend)


def spans_decades(values: np.ndarray) -> bool:
    """Return whether values, none of them negative, are so different in size that only a logarithm shows them all."""
    positive = values[np.isfinite(values) & (values > 0)]
    if positive.size == 0 or (values < 0).any():
        return False
    return bool(np.log10(positive.max() / np.quantile(positive, 0.02)) > DECADES)


def towers(array: xr.DataArray, rows: str) -> bool:
    """Return whether one row takes the whole scale: its maximum is far above that of most others, none negative."""
    if array.sizes.get(rows, 0) < 3 or are_counts(array) or bool((array < 0).any()):
        return False
    finite = array.where(np.isfinite(array))
    tops = finite.max([dim for dim in array.dims if dim != rows]).dropna(rows).values
    return bool(len(tops) > 2 and tops.max() > TOWERING * np.median(tops) > 0)


def are_counts(array: xr.DataArray) -> bool:
    """Return whether values are counts: whole numbers ≥ 0 with at least one above 1."""
    values = np.asarray(array.values)
    if values.dtype.kind not in "iuf" or array.attrs.get("units", "1") != "1":
        return False
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.max() > 1 and (finite >= 0).all() and (finite == finite.round()).all())


def is_share(array: xr.DataArray) -> bool:
    """Return whether a variable is a share of a whole, from 0 to 1, as its attrs say."""
    return bool(array.attrs.get("share", False))
