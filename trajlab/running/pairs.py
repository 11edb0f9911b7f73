"""Stages that compare two runs: one call for each pair, stacked on `run` and `other`."""

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingInput
from trajlab.replays.interpolation import between, between_architectures
from trajlab.running.call import call_stage, with_provenance
from trajlab.running.inputs import Inputs, needs_of, stage_name, without_prefix
from trajlab.running.settings import settings_of
from trajlab.running.stack import described, joined
from trajlab.runs.trajectory import Trajectory

PARENT = "parent"
"""Label of the parent among the runs that a run is compared with, and the fact by which a run names its own."""


def compares(function: Callable) -> bool:
    """Return whether a stage asks for a second run."""
    return any(name.startswith("other_") for name in needs_of(function))


def call_for_pairs(
    function: Callable, inputs: Inputs, trajectory: Trajectory | Mapping[str, Trajectory],
    parent: Trajectory | None, settings: dict[str, Any],
) -> xr.Dataset:  # fmt: skip
    """Call a stage for each two runs and for each run with the parent; a run with itself is NaN.

    Raises
    ------
    BadSetting
        A run is called as the parent is.
    MissingData
        There is only one run.
    """
    runs = {"": trajectory} if isinstance(trajectory, Trajectory) else trajectory
    if parent is not None and PARENT in runs:
        raise BadSetting(f"cannot compare with the parent: a run is called {PARENT!r}, too; rename that run")
    others = dict(runs) if parent is None else {**runs, PARENT: parent}
    pairs = [(first, second) for first, second in combinations(others, 2) if first in runs]
    if not pairs:
        raise MissingInput(
            f"{stage_name(function)} needs two runs; there is one. Name a folder of runs, or a second run with "
            "--parent (parent= in Python).",
            "there is one run",
        )
    runs_of = [
        _pair_inputs(function, inputs, others[first], others[second], settings) | {"parent_": parent}
        for first, second in pairs
    ]
    stacked = _all_at_once(function, inputs, runs_of, settings)
    if stacked is None:
        results = {
            f"{first} and {second}": call_stage(function, inputs, of_pair, settings)
            for (first, second), of_pair in zip(pairs, runs_of, strict=True)
        }
        stacked = joined(results, "pair")
    if isinstance(trajectory, Trajectory):
        return stacked.rename(pair="other").assign_coords(other=np.array([PARENT], dtype=object))
    rows = {name: row for row, name in enumerate(others)}
    pair_of = np.full((len(others), len(others)), -1)
    for pair, (first, second) in enumerate(pairs):
        pair_of[rows[first], rows[second]] = pair_of[rows[second], rows[first]] = pair
    pair_index = xr.DataArray(pair_of[: len(runs)], {"other": np.array(list(others), dtype=object)}, ("run", "other"))
    return described(stacked.isel(pair=pair_index).where(pair_index >= 0), runs)


def _all_at_once(
    function: Callable, inputs: Inputs, runs_of: Sequence[dict[str, Trajectory | None]], settings: dict[str, Any]
) -> xr.Dataset | None:
    """Call the function `of_pairs` in the module of a stage; None if there is none, or if pairs differ too much.

    `of_pairs` takes the arguments of the stage for each pair, and all its settings. It returns a Dataset with a dim
    `pair`, or None if the stage must be called for each pair.
    """
    of_pairs = getattr(sys.modules.get(function.__module__), "of_pairs", None)
    if of_pairs is None or len(runs_of) < 2:
        return None
    arguments = [
        {
            name: inputs.get(name, of_pair, required=parameter.default is parameter.empty)
            for name, parameter in needs_of(function).items()
        }
        for of_pair in runs_of
    ]
    defaults = {name: parameter.default for name, parameter in settings_of(function).items()}
    result = of_pairs(arguments, **defaults | settings)
    if result is None:
        return None
    return with_provenance(result.transpose("pair", ...), function, inputs, runs_of[0], arguments[0], settings)


def _pair_inputs(
    function: Callable, inputs: Inputs, first: Trajectory, second: Trajectory, settings: Mapping[str, Any]
) -> dict[str, Trajectory | None]:
    """Return two runs, and the lines between their ends where the stage asks for them, by prefix.

    The setting `ends` of the stage says at which steps the lines end. Metrics of a line alone need none.
    """
    runs: dict[str, Trajectory | None] = {"": first, "other_": second}
    if between_architectures(first, second):
        return runs  # there is no line between them
    ends = settings.get("ends", "shared")
    kinds = {name: without_prefix(name) for name in needs_of(function)}
    needs = [
        name for name, kind in kinds.items() if kind != "metrics" and inputs.get(kind, runs, required=False) is not None
    ]
    if any(name.startswith("between_") for name in needs):
        runs["between_"] = between(first, second, ends=ends)
    if any(name.startswith("aligned_") for name in needs):
        chain = inputs.get("chain", runs, required=True)
        runs["aligned_"] = None if chain.reason else between(first, second, align=True, chain=chain, ends=ends)
    return runs
