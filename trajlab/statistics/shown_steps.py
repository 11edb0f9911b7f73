"""Choice of the recorded steps that are shown."""

from collections.abc import Sequence

import xarray as xr

from trajlab.errors import BadSetting
from trajlab.scan.scan import position_of


def shown_steps(array: xr.DataArray, steps: Sequence[int], max_steps: int) -> list[int]:
    """Return the positions of the requested steps, rising; else of evenly spaced ones with the first and the last.

    Parameters
    ----------
    array
        Any array with a dim `step`.
    steps
        The steps; 0 is always the first recorded one, -1 the last. Empty for evenly spaced ones.
    max_steps
        Largest number of evenly spaced steps.

    Raises
    ------
    BadSetting
        `max_steps` is not positive.
    MissingData
        A step was not recorded.

    Examples
    --------
    >>> series = xr.DataArray([0.0] * 5, {"step": [0, 10, 20, 30, 40]}, "step")
    >>> shown_steps(series, [], 3), shown_steps(series, [30, 0, -1], 3)
    ([0, 2, 4], [0, 3, 4])
    """
    if max_steps < 1:
        raise BadSetting(f"cannot show max_steps={max_steps}: it must be 1 or more; change the setting.")
    if len(steps):
        return sorted({position_of(array, step) for step in steps})
    return evenly(array.sizes["step"], max_steps)


def evenly(count: int, most: int) -> list[int]:
    """Return at most `most` of `count` positions: every n-th and the last.

    >>> evenly(7, 7), evenly(7, 4), evenly(7, 3), evenly(7, 1)
    ([0, 1, 2, 3, 4, 5, 6], [0, 2, 4, 6], [0, 3, 6], [6])
    """
    every = max(1, -(-(count - 1) // (most - 1))) if most > 1 else max(count, 1)
    return [*range(0, count - 1, every)][: max(most - 1, 0)] + [count - 1] if count else []
