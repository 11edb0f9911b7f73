"""What a computation costs, said before it starts where it takes long."""

from collections.abc import Mapping
from typing import Any

import xarray as xr

from trajlab.terminal import say

OPERATIONS_PER_SECOND = 2e10
"""Floating-point operations that a core does in a second, about, on the way from matrices to singular values."""

LONG = 120.0
"""Seconds of a core from which on a cost is said."""

THINNED = 10
"""Steps out of which one is proposed; fewer of a run that has no more."""


def say_cost(name: str, result: xr.Dataset, settings: Mapping[str, Any], *, together: bool = False) -> None:
    """Say on stderr how long a stage takes at least, if it is long, and what makes it cheaper.

    Parameters
    ----------
    name
        The stage.
    result
        Its lazy result, whose attr `operations` says about how many floating-point operations a run takes.
    settings
        Its settings by name.
    together
        Whether the command computes several stages and so has no options for settings, only --params.
    """
    cost = cost_of(result)
    if not cost:
        return
    hints = _hints(result, settings, together=together)
    if together and hints:
        hints[0] = f"in section {name} of the file of --params, {hints[0]}"
    hints.append("--parameters REGEX takes only the matrices whose names match")
    if together:
        hints.append(f"--stages without {name} leaves it out")
    say(f"{name} takes {cost}, {_operations(result):.1e} operations: {', '.join(hints)}")


def cost_of(result: xr.Dataset) -> str:
    """Write how long a lazy result takes at least; empty if not long.

    >>> cost_of(xr.Dataset(attrs={"operations": 1.2e13}))
    'about 10 minutes of a core'
    """
    seconds = seconds_of(result)
    return f"about {_duration(seconds)} of a core" if seconds >= LONG else ""


def seconds_of(result: xr.Dataset) -> float:
    """Return about how many seconds of a core a lazy result takes at least; 0 if its stage does not estimate it.

    >>> seconds_of(xr.Dataset(attrs={"operations": 2e11}))
    10.0
    """
    return _operations(result) / OPERATIONS_PER_SECOND


def _operations(result: xr.Dataset) -> float:
    return float(result.attrs.get("operations", 0.0)) * result.sizes.get("run", 1)


def _hints(result: xr.Dataset, settings: Mapping[str, Any], *, together: bool) -> list[str]:
    """Return what settings make a stage cheaper, as options of its command or as lines of a file of settings."""
    steps, hints = result.sizes.get("step", 0), []
    if "every" in settings and result.attrs.get("every", 1) == 1 and steps > 2:
        every = min(THINNED, steps - 1)
        share = len({*range(0, steps, every), steps - 1}) / steps
        hints.append(f"{f'every: {every}' if together else f'--every {every}'} takes {100 * share:.0f} %")
    if "shuffle" in settings:
        hints.append(f"{'shuffle: false' if together else '--no-shuffle'} half")
    if "rank_collapse_steps" in settings:
        few = "rank_collapse_steps: 2 or rules" if together else "--rank-collapse-steps 2 or --rules"
        hints.append(f"{few} without RankCollapse takes less")
    return hints


def _duration(seconds: float) -> str:
    """Write a duration in minutes or hours.

    >>> _duration(600), _duration(8000)
    ('10 minutes', '2.2 hours')
    """
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
