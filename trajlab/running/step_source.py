"""How the steps of runs were read and which checkpoints were left aside: on stderr, and in the attrs of results."""

from collections.abc import Mapping
from typing import Any

from trajlab.errors import first_of
from trajlab.runs.trajectory import Trajectory
from trajlab.terminal import say

STEP_SOURCE, LEFT_ASIDE = "step_source", "left_aside"
"""Attrs of a result."""


def step_attrs(runs: Trajectory | Mapping[str, Trajectory]) -> dict[str, Any]:
    """Return the attrs of a result that say how steps were read and what was left aside; none for recorded runs.

    Examples
    --------
    >>> import trajlab
    >>> run = trajlab.from_arrays({"w": [[0.0], [1.0]]})
    >>> run.facts["steps"] = {"source": "epoch in the name", "left_aside": {"last.pt": "it repeats step 1"}}
    >>> step_attrs({"a": run, "b": run})["left_aside"]
    {'a/last.pt': 'it repeats step 1', 'b/last.pt': 'it repeats step 1'}
    """
    if isinstance(runs, Trajectory):
        source, left_aside = runs.step_source, runs.left_aside
    else:
        source = "; ".join(_sources(runs))
        left_aside = {f"{run}/{name}": why for run, of in runs.items() for name, why in of.left_aside.items()}
    attrs: dict[str, Any] = {STEP_SOURCE: source} if source else {}
    return attrs | ({LEFT_ASIDE: left_aside} if left_aside else {})


def _sources(runs: Mapping[str, Trajectory]) -> list[str]:
    """Return how steps were read, with the names of the runs where they differ."""
    by_source: dict[str, list[str]] = {}
    for name, run in runs.items():
        by_source.setdefault(run.step_source, []).append(name)
    if len(by_source) == 1:
        return [source for source in by_source if source]
    return [f"{source} ({first_of(names)})" for source, names in by_source.items() if source]


def say_step_source(*attrs: Mapping[Any, Any]) -> None:
    """Say on stderr how steps were read, and name the checkpoints left aside, each line once.

    Parameters
    ----------
    attrs
        Attrs of results, or of `step_attrs`.
    """
    lines: dict[str, None] = {}
    for of_result in attrs:
        by_reason: dict[str, list[str]] = {}
        for name, reason in of_result.get(LEFT_ASIDE, {}).items():
            by_reason.setdefault(reason, []).append(name)
        lines |= {f"step = {of_result[STEP_SOURCE]}": None} if STEP_SOURCE in of_result else {}
        lines |= {f"{first_of(names)} left aside: {reason}": None for reason, names in by_reason.items()}
    for line in lines:
        say(line)
