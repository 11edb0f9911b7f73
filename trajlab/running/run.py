"""How a stage meets a trajectory: its parameters' names say what it needs."""

import inspect
import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from itertools import combinations
from typing import Any, get_args

import numpy as np
import xarray as xr

from trajlab.errors import BadSetting, MissingData
from trajlab.replays.interpolation import between
from trajlab.running.inputs import TENSORS, Inputs, without_prefix
from trajlab.running.settings import check_setting, settings_of
from trajlab.running.stack import described, joined
from trajlab.runs.trajectory import Trajectory
from trajlab.schema import RESULT_VERSION
from trajlab.stages import stage

PARENT = "parent"
"""Label of the parent among the runs that a run is compared with, and the fact by which a run names its own."""

RECORDED = "recorded"
"""Asks for the parents that runs name as theirs."""


def run(
    stage_or_name: str | Callable[..., xr.Dataset],
    trajectory: Trajectory | Mapping[str, Trajectory],
    *,
    parent: Trajectory | str | None = None,
    on: str | None = None,
    model: Any = None,
    probe: Any = None,
    device: str | None = None,
    **settings: Any,
) -> xr.Dataset:
    """Run a stage, or a function of your own, over a trajectory or several; lazily.

    Parameters
    ----------
    stage_or_name
        Name of a stage, or a function. Its positional parameters ask for what it needs by name: `weight`, `gradient`,
        `buffer` or `activation` (called once for each tensor, results stacked on `parameter` or `layer`), the plurals
        of these, `metrics` and `probe` (called once with everything), `replay` (`trajlab.replay` of the run, to name
        layers and inputs), `chain` (which hidden layers follow each other), and `parent_…` for the same of the parent.
        With `other_…` it asks for the same of another run: it is called once for each two runs and for each run with
        the parent, its results are stacked on `run` and `other`, and must be the same whichever of the two comes
        first; `between_…` then gives the same of `trajlab.between` the two, and `aligned_…` with their units aligned.
        A parameter with a default is optional. Keyword-only parameters are settings. It gives a Dataset or a
        DataArray.
    trajectory
        A run, or runs by name, whose results are stacked on `run`.
    parent
        The run that this one restarted from, or any other to compare with. Of several runs "recorded" asks for the one
        that each names as its `parent` in run.json, among these runs; those that name none are left out.
    on
        Give the stage `gradients` or `buffers` where it asks for weights.
    model
        The network that snapshots are replayed in, a function that builds it, or its name, "package.module:factory";
        by default what run.json names.
    probe
        What they are replayed on, in any form that `trajlab.replay` takes; by default the probe of the run.
    device
        Where they are replayed, such as "cuda"; by default the CPU.
    settings
        The stage's settings.

    Raises
    ------
    BadSetting
        There is no such stage or setting.
    MissingData
        The run lacks what the stage needs, or there are no recorded parents.

    Examples
    --------
    >>> import trajlab
    >>> def largest(weight, *, power=1):
    ...     return abs(weight).max(weight.dims[1:]) ** power
    >>> walk = trajlab.from_arrays({"w": np.arange(6.0).reshape(3, 2)})
    >>> trajlab.run(largest, walk, power=2).largest.values.ravel()
    array([ 1.,  9., 25.])
    """
    function = stage(stage_or_name) if isinstance(stage_or_name, str) else stage_or_name
    try:
        known = settings_of(function)
    except (TypeError, ValueError) as error:
        raise BadSetting(f"a stage was asked for; {error}. Give the name of a stage, or a function.") from error
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise BadSetting(
            f"{_name(function)} was given {', '.join(unknown)}; its settings are {', '.join(known) or 'none'}. "
            "Correct the name."
        )
    if on is not None and on not in ("weights", "gradients", "buffers"):
        raise BadSetting(f"{_name(function)} was asked for on {on!r}; it can be on weights, gradients or buffers.")
    settings = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in settings.items()}
    for name, value in settings.items():
        check_setting(_name(function), name, value, known[name].annotation)
    if not isinstance(trajectory, Trajectory) and not trajectory:
        raise MissingData(f"runs were asked for to compute {_name(function)}; there are none. Name at least one run.")
    trajectory, parent = _equipped(trajectory, model, probe, device), _equipped(parent, model, probe, device)
    inputs = Inputs(_name(function), on)
    one_by_one = not any(name.startswith("other_") for name in needs_of(function))
    if isinstance(parent, str):
        if parent != RECORDED or isinstance(trajectory, Trajectory) or not one_by_one:
            raise BadSetting(
                f"{_name(function)} was given the parent {parent!r}; that can be a run, or of several {RECORDED!r} "
                "for stages that take one at a time. Name a run."
            )
        parents = _recorded_parents(trajectory)
    elif not one_by_one:
        return _each_two(function, inputs, trajectory, parent, settings)
    elif isinstance(trajectory, Trajectory):
        return _run(function, inputs, {"": trajectory, "parent_": parent}, settings)
    else:
        parents = dict.fromkeys(trajectory, parent)
    chosen = {name: trajectory[name] for name in parents}
    results = {n: _run(function, inputs, {"": one, "parent_": parents[n]}, settings) for n, one in chosen.items()}
    return described(joined(results, "run"), chosen)


def _recorded_parents(runs: Mapping[str, Trajectory]) -> dict[str, Trajectory | None]:
    """Give the parents that runs name as theirs, by the names of these runs."""
    named = {name: run.facts.get("describe", {}).get(PARENT) for name, run in runs.items()}
    found: dict[str, Trajectory | None] = {name: runs[parent] for name, parent in named.items() if parent in runs}
    lost = [f"{parent} of {name}" for name, parent in named.items() if parent is not None and parent not in runs]
    if lost or not found:
        raise MissingData(
            f"parents among the runs {', '.join(runs)} were asked for; "
            f"{'these are not there: ' + ', '.join(lost) if lost else 'no run names one'}. Put the parents among the "
            "runs, and record with Recorder(describe={'parent': 'name of the run'}); or name one run."
        )
    return found


def _equipped(runs: Any, model: Any, probe: Any, device: str | None) -> Any:
    """Give runs with a network, a probe and a device to replay them with, if these are given."""
    if runs is None or isinstance(runs, str) or (model is None and probe is None and device is None):
        return runs
    if probe is not None:
        from trajlab.replays.probe_files import as_probe

        probe = as_probe(probe)
    if isinstance(runs, Trajectory):
        return runs.with_model(model, probe=probe, device=device)
    return {name: one.with_model(model, probe=probe, device=device) for name, one in runs.items()}


def _name(function: Callable) -> str:
    """Name a stage: a function, one that is partly applied, or an object that can be called."""
    function = getattr(function, "func", function)
    return str(getattr(function, "__name__", type(function).__name__))


def _plain(value: Any) -> Any:
    """Give a numpy value as json takes it."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _two(function: Callable, inputs: Inputs, one: Trajectory, other: Trajectory) -> dict[str, Trajectory | None]:
    """Give two runs, and the lines between their ends as far as the stage asks for them, by prefix."""
    runs: dict[str, Trajectory | None] = {"": one, "other_": other}
    asked = [name for name in needs_of(function) if inputs.get(without_prefix(name), runs, required=False) is not None]
    if any(name.startswith("between_") for name in asked):
        runs["between_"] = between(one, other)
    if any(name.startswith("aligned_") for name in asked):
        chain = inputs.get("chain", runs, required=True)
        runs["aligned_"] = None if chain.reason else between(one, other, align=True, chain=chain)
    return runs


def needs_of(function: Callable) -> dict[str, inspect.Parameter]:
    """Give the parameters by which a stage asks for data."""
    parameters = inspect.signature(function).parameters
    return {name: p for name, p in parameters.items() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)}


def _run(
    function: Callable, inputs: Inputs, runs: dict[str, Trajectory | None], settings: dict[str, Any]
) -> xr.Dataset:
    given, singles = {}, []
    for name, parameter in needs_of(function).items():
        given[name] = inputs.get(name, runs, required=parameter.default is parameter.empty)
        if without_prefix(name) in TENSORS and given[name] is not None and not _takes_many(parameter):
            singles.append(name)
    result = _one_by_one(function, given, singles, settings) if singles else _dataset(function, given, settings)
    provenance = {
        "Conventions": RESULT_VERSION,
        "stage": _name(function),
        "settings": json.dumps(getattr(function, "keywords", {}) | settings, default=_plain),
        "trajlab": version("trajlab"),
    }
    return result.assign_attrs(provenance | ({"on": inputs.on} if inputs.on else {}))


def _each_two(
    function: Callable, inputs: Inputs, trajectory: Trajectory | Mapping[str, Trajectory],
    parent: Trajectory | None, settings: dict[str, Any],
) -> xr.Dataset:  # fmt: skip
    """Call a stage for each two runs and for each run with the parent; a run with itself is left unknown."""
    runs = {"": trajectory} if isinstance(trajectory, Trajectory) else trajectory
    if parent is not None and PARENT in runs:
        raise BadSetting(
            f"a parent was given beside runs of which one is called {PARENT!r}; their results would be told apart by "
            "name. Rename the run, or leave the parent out."
        )
    others = dict(runs) if parent is None else {**runs, PARENT: parent}
    pairs = [(one, other) for one, other in combinations(others, 2) if one in runs]
    if not pairs:
        raise MissingData(
            f"{_name(function)} needs two runs to compare; there is one. Name a folder of runs, or another run with "
            "--parent (parent= in Python)."
        )
    found = {
        f"{one} and {other}": _run(
            function, inputs, _two(function, inputs, others[one], others[other]) | {"parent_": parent}, settings
        )
        for one, other in pairs
    }
    stacked = joined(found, "pair")
    if isinstance(trajectory, Trajectory):
        return stacked.rename(pair="other").assign_coords(other=np.array([PARENT], dtype=object))
    names = {name: position for position, name in enumerate(others)}
    place = np.full((len(others), len(others)), -1)
    for position, (one, other) in enumerate(pairs):
        place[names[one], names[other]] = place[names[other], names[one]] = position
    where = xr.DataArray(place[: len(runs)], {"other": np.array(list(others), dtype=object)}, ("run", "other"))
    return described(stacked.isel(pair=where).where(where >= 0), runs)


def _takes_many(parameter: inspect.Parameter) -> bool:
    """Tell whether a parameter takes tensors by name as well as one: its annotation is `scan.Tensor`."""
    return Mapping[str, xr.DataArray] in get_args(parameter.annotation)


def _one_by_one(function: Callable, inputs: dict[str, Any], singles: list[str], settings: dict[str, Any]) -> xr.Dataset:
    first = inputs[singles[0]]
    names = [name for name in first if all(name in inputs[single] for single in singles)]
    dim = "layer" if singles[0].endswith("activation") else "parameter"
    results = [_dataset(function, inputs | {s: inputs[s][name] for s in singles}, settings) for name in names]
    labeled = [one.expand_dims({dim: np.array([name], dtype=object)}) for name, one in zip(names, results, strict=True)]
    result = xr.concat(labeled, dim=dim, join="outer", coords="minimal", compat="override", combine_attrs="override")
    about = {key: [first[name].attrs.get(key, "") for name in names] for key in ("module", "kind")}
    numel = [int(np.prod(first[name].attrs.get("shape", first[name].shape[1:]), dtype=np.int64)) for name in names]
    coords = {key: (dim, np.array(values, dtype=object)) for key, values in about.items()} | {"numel": (dim, numel)}
    return result.assign_coords({key: value for key, value in coords.items() if key not in result.coords})


def _dataset(function: Callable, inputs: dict[str, Any], settings: dict[str, Any]) -> xr.Dataset:
    result = function(**inputs, **settings)
    if isinstance(result, xr.DataArray):
        return result.to_dataset(name=_name(function))
    if not isinstance(result, xr.Dataset):
        raise BadSetting(
            f"{_name(function)} was to give a Dataset or a DataArray; it gave a {type(result).__name__}. "
            "Return one of these."
        )
    return result
