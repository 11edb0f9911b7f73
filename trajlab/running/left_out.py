"""Tensors of a run that a stage leaves out, named on stderr and in the attrs of its result."""

from collections.abc import Callable, Mapping
from typing import Any

import xarray as xr

from trajlab.errors import first_of
from trajlab.running.inputs import TENSORS, needs_of, without_prefix
from trajlab.runs.trajectory import Trajectory
from trajlab.schema import LEFT_OUT, TOTALS_OVER
from trajlab.terminal import say

SHOWN = 6
"""Most names in a line."""


def takes_tensors(function: Callable, on: str | None) -> bool:
    """Return whether a stage computes on the tensors of a run, rather than on its activations."""
    groups = {TENSORS.get(name, name) for name in map(without_prefix, needs_of(function))}
    return on != "activations" and bool(groups & {"weights", "gradients", "buffers"})


def left_out_of(runs: Trajectory | Mapping[str, Trajectory], *, optimizer: bool = False) -> dict[str, str]:
    """Return the tensors that are left out of runs by name, with the reason; by run and name where runs differ.

    Parameters
    ----------
    runs
        A run, or runs by name.
    optimizer
        Whether what could not be used of the state of the optimizer counts.
    """
    if isinstance(runs, Trajectory):
        return runs.weights.omitted | (runs.optimizer.left_out if optimizer else {})
    by_run = {run: left_out_of(trajectory, optimizer=optimizer) for run, trajectory in runs.items()}
    first = next(iter(by_run.values()), {})
    if all(omitted == first for omitted in by_run.values()):
        return first
    return {f"{name} of {run}": reason for run, omitted in by_run.items() for name, reason in omitted.items()}


def say_left_out(*omitted: Mapping[str, str]) -> None:
    """Name on stderr what is left out, a line for each reason.

    Parameters
    ----------
    omitted
        Tensors with the reason, as `left_out_of` returns them and results have them in their attr.
    """
    by_reason: dict[str, dict[str, None]] = {}
    for tensors in omitted:
        for name, reason in tensors.items():
            by_reason.setdefault(reason, {})[name] = None
    for reason, names in by_reason.items():
        all_names = " (see trajlab info)" if len(names) > SHOWN else ""
        say(f"{first_of(names, SHOWN)}{all_names} left out: {reason}")


def say_totals_over(attrs: Mapping[Any, Any]) -> None:
    """Name on stderr the steps of totals, if the tensors of a result were not recorded at the same ones."""
    if TOTALS_OVER in attrs:
        say(f"totals are over {attrs[TOTALS_OVER]}")


def with_left_out(
    result: xr.Dataset, runs: Trajectory | Mapping[str, Trajectory], *, optimizer: bool = False
) -> xr.Dataset:
    """Return a result that names in its attrs, and in those of its totals, what was left out of it.

    Parameters
    ----------
    result
        The result, which may name tensors itself.
    runs, optimizer
        As in `left_out_of`.
    """
    omitted = left_out_of(runs, optimizer=optimizer) | dict(result.attrs.get(LEFT_OUT, {}))
    if not omitted:
        return result
    totals = {
        name: variable.assign_attrs({LEFT_OUT: ", ".join(omitted)})
        for name, variable in result.data_vars.items()
        if str(name).startswith("total_")
    }
    return result.assign(totals).assign_attrs({LEFT_OUT: omitted})
