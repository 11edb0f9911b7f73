"""Words on figures: titles with units, names thinned out until they fit, steps on their axis."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    SymmetricalLogLocator,
)

from trajlab.figures.marks.scale import are_counts, is_share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

LONGEST = 26
"""Characters of a name on an axis, twice that on wide axes; of longer ones the end is shown."""

WIDE = 4.5
"""Inches from which axes are wide."""

PER_INCH = 14
"""Characters of a title that fit into an inch."""

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class _Steps(MaxNLocator):
    """Round steps, and the first and the last."""

    def __init__(self, first: float, last: float):
        super().__init__(5, integer=True, min_n_ticks=1, steps=[1, 2, 2.5, 5, 10])
        self.ends = (first, last)

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        """Return the ticks between limits: the ends, and round steps where those leave room for their names."""
        from matplotlib.axis import Axis

        ends = [end for end in self.ends if vmin <= end <= vmax]
        widths = 3 * self.axis.get_tick_space() if isinstance(self.axis, Axis) else 0
        room = (vmax - vmin) * (1 + 0.6 * len(f"{self.ends[1]:,.0f}")) / max(widths, 3)
        round_ones = [
            tick for tick in super().tick_values(vmin, vmax) if min(ends, default=vmin) < tick < max(ends, default=vmax)
        ]
        round_ones = [tick for tick in round_ones if all(abs(tick - end) > room for end in ends)]
        return sorted({*ends, *map(float, round_ones)})


def name_of(array: xr.DataArray) -> str:
    """Return the name of a variable with its unit, as a table shows it.

    >>> name_of(xr.DataArray(0, attrs={"long_name": "norm", "units": "weight"}))
    'norm [weight]'
    """
    name = array.attrs.get("long_name") or str(array.name or "value").replace("_", " ")
    units = array.attrs.get("units", "1")
    return name if units in ("1", "") or units in name else f"{name} [{units}]"


def title_of(array: xr.DataArray) -> str:
    """Return the title of a variable, as an axis shows it: a total says that it is of the whole network.

    >>> title_of(xr.DataArray(0, attrs={"long_name": "norm", "units": "weight", "total": True}))
    'whole network: norm [weight]'
    """
    return f"whole network: {name_of(array)}" if array.attrs.get("total") else name_of(array)


def wrap(title: str, inches: float) -> str:
    """Break a title into lines that fit beside an axis of this length in inches."""
    return textwrap.fill(title, max(12, round(inches * 15)))


def shorten(name: str, longest: int = LONGEST) -> str:
    """Return a name, or the end of one that is too long."""
    return name if len(name) <= longest else "…" + name[1 - longest :]


def shorten_to(ax: "Axes", name: str) -> str:
    """Return a name, or the end of one that is too long to stand above axes."""
    return shorten(name, max(8, int(PER_INCH * width_of(ax))))


def height_of(ax: "Axes") -> float:
    """Return the height of axes in inches."""
    return ax.get_window_extent().height / ax.get_figure(root=True).dpi  # type: ignore[union-attr]


def width_of(ax: "Axes") -> float:
    """Return the width of axes in inches."""
    return ax.get_window_extent().width / ax.get_figure(root=True).dpi  # type: ignore[union-attr]


def name_rows(ax: "Axes", names: Sequence[str], positions: Sequence[float] | None = None) -> None:
    """Put names beside rows that are counted from the top, as many as there is room for."""
    at = np.arange(len(names)) if positions is None else np.asarray(positions)
    every = max(1, int(np.ceil(len(names) / max(1.0, height_of(ax) / 0.135))))
    shown = slice(None, None, every)
    longest = LONGEST if width_of(ax) < WIDE else 2 * LONGEST
    ax.set_yticks(at[shown], [shorten(str(name), longest) for name in names[shown]])
    ax.tick_params(axis="y", length=0)


def name_groups(ax: "Axes", names: Sequence[str], sizes: Sequence[int]) -> None:
    """Put names beside groups of rows that are counted from the top, the largest groups first while there is room."""
    ends = np.cumsum(sizes)
    centers = ends - np.asarray(sizes) / 2 - 0.5
    room = 0.135 * ends[-1] / max(height_of(ax), 0.135)
    shown: list[int] = []
    for group in np.argsort(-np.asarray(sizes), kind="stable"):
        if all(abs(centers[group] - centers[other]) >= room for other in shown):
            shown.append(int(group))
    shown.sort()
    longest = LONGEST if width_of(ax) < WIDE else 2 * LONGEST
    ax.set_yticks(centers[shown], [shorten(names[group], longest) for group in shown])
    ax.tick_params(axis="y", length=0)


def name_steps(ax: "Axes", steps: np.ndarray) -> None:
    """Put steps below columns of one width, as many as there is room for, the first and the last among them."""
    names = [f"{step:,}" for step in steps]
    room = int(width_of(ax) / (0.075 * max(map(len, names)) + 0.12))
    last = len(names) - 1
    apart = max(1, int(np.ceil(last / max(1, room - 1))))
    shown = [position for position in range(0, last, apart) if position == 0 or last - position >= apart] + [last] * (
        last > 0
    )
    shown = shown or [0]
    ax.set_xticks(shown, [names[i] for i in shown])
    ax.set_xlabel("step")


def step_axis(ax: "Axes", steps: np.ndarray) -> None:
    """Make the x axis one of steps; logarithmic where they lie ever further apart."""
    ax.set_xlabel("step")
    gaps = np.diff(steps)
    if len(gaps) > 3 and gaps.max() > 20 * gaps.min() and steps.min() >= 0:
        ax.set_xscale("symlog", linthresh=max(float(gaps.min()), 1.0))
        ax.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=max(float(gaps.min()), 1.0)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:
        ax.xaxis.set_major_locator(_Steps(float(np.min(steps)), float(np.max(steps))))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def value_axis(axis: "Axis", array: xr.DataArray, *, log: bool = False) -> None:
    """Format the ticks of an axis or a color bar: powers of ten, per cent, or plain numbers."""
    if log:
        low, high = sorted(axis.get_view_interval())
        if 0 < high < 5 * low:  # 1, 2 and 5 would be one tick or none
            axis.set_major_locator(MaxNLocator(nbins=4))
        else:
            few = low > 0 and high < 100 * low
            axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12) if few else LogLocator(numticks=6))
        axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
        axis.set_minor_formatter(NullFormatter())
    elif is_share(array):
        axis.set_major_formatter(FuncFormatter(per_cent))
    elif array.attrs.get("units") in ("places", "rules") or are_counts(array):
        axis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def per_cent(value: float, _: object = None) -> str:
    """Write a share in per cent.

    >>> per_cent(0.125)
    '12.5 %'
    """
    return f"{100 * value:.4g} %"


def power_of_ten(value: float) -> str:
    """Write a power of ten without markup, and 0, where a linear locator sets a tick that no axis shows, as nothing.

    >>> power_of_ten(1e-05), power_of_ten(0.1), power_of_ten(100)
    ('10⁻⁵', '0.1', '100')
    """
    if value <= 0:
        return ""
    exponent = round(np.log10(value))
    if not np.isclose(value, 10.0**exponent):
        return f"{value:g}"
    return f"{value:g}" if -3 <= exponent <= 3 else "10" + str(exponent).translate(_SUPERSCRIPTS)
