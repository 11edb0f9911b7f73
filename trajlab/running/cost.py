"""What a computation costs, said before it starts where it takes long."""

from collections.abc import Mapping
from typing import Any

import xarray as xr

from trajlab.terminal import say

OPERATIONS_PER_SECOND = 2e10
"""Floating-point operations that a core does in a second, about, on the way from matrices to singular values."""

LONG = 120.0
"""Seconds of a core from which on a cost is said."""

CHEAPER = {
    "every": "--every 10 takes a tenth",
    "shuffle": "--no-shuffle half",
    "rank_collapse_steps": "--rank-collapse-steps 10 or --rules without RankCollapse takes less",
}
"""What makes a stage cheaper, by its setting."""


def say_cost(name: str, result: xr.Dataset, settings: Mapping[str, Any]) -> None:
    """Say on stderr how long a stage takes at least, if it is long, and what makes it cheaper.

    Parameters
    ----------
    name
        The stage.
    result
        Its lazy result, whose attr `operations` says about how many floating-point operations a run takes.
    settings
        Its settings by name.
    """
    operations = float(result.attrs.get("operations", 0.0)) * result.sizes.get("run", 1)
    seconds = operations / OPERATIONS_PER_SECOND
    if seconds < LONG:
        return
    hints = [hint for setting, hint in CHEAPER.items() if setting in settings]
    hints.append("--parameters REGEX takes only the matrices whose names match")
    say(f"{name} takes about {_duration(seconds)} of a core, {operations:.1e} operations: {', '.join(hints)}")


def _duration(seconds: float) -> str:
    """Write a duration in minutes or hours.

    >>> _duration(600), _duration(8000)
    ('10 minutes', '2.2 hours')
    """
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
