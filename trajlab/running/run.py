"""Run a stage over a trajectory or several; lazily."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, overload

import xarray as xr

import trajlab.running.fuse  # noqa: F401  results that are computed together share their passes
from trajlab.errors import BadSetting, MissingData
from trajlab.running.call import call_stage
from trajlab.running.comparable import comparable
from trajlab.running.inputs import Inputs, check_on, needs_of, stage_name
from trajlab.running.left_out import takes_tensors, with_left_out
from trajlab.running.pairs import PARENT, call_for_pairs, compares
from trajlab.running.settings import check_settings
from trajlab.running.stack import described, joined
from trajlab.runs.trajectory import Trajectory
from trajlab.stages import stage

RECORDED = "recorded"
"""Value of `parent` that takes the parents that runs name in run.json."""


Stage = str | Callable[..., xr.Dataset]
"""A stage by its name, or a function."""


@overload
def run(stage_or_name: Stage, trajectory: Trajectory | Mapping[str, Trajectory], **options: Any) -> xr.Dataset: ...
@overload
def run(
    stage_or_name: Sequence[Stage], trajectory: Trajectory | Mapping[str, Trajectory], **options: Any
) -> xr.DataTree: ...
def run(
    stage_or_name: Stage | Sequence[Stage],
    trajectory: Trajectory | Mapping[str, Trajectory],
    *,
    parent: Trajectory | str | None = None,
    on: str | None = None,
    model: Any = None,
    probe: Any = None,
    device: str | None = None,
    unit_axis: Sequence[str] | None = None,
    **settings: Any,
) -> xr.Dataset | xr.DataTree:
    """Run a stage, or your own function, over one trajectory or several; lazily.

    Several stages give a DataTree with a result each. Computing the tree reads the data once, whatever their number. So
    does one `dask.compute` of several results of the same runs.

    Parameters
    ----------
    stage_or_name
        Name of a stage, or a function that returns a Dataset or a DataArray. The names of its positional parameters
        say what it needs:

        - `weight`, `gradient`, `buffer`, `activation` or `adapter`: one tensor. It is called for each, and the results
          are stacked on `parameter` or `layer`.
        - The plurals of these, `metrics` and `probe`: everything, in one call.
        - `replay`: `trajlab.replay` of the run, which takes layers and inputs. `chain`: successive hidden layers.
        - `parent_…`: the same of the parent.
        - `other_…`: the same of a second run. It is called for each two runs and for each run with the parent, and the
          results are stacked on `run` and `other`; the order of the two must not matter. `between_…` is the same of
          `trajlab.between` the two, `aligned_…` with their units aligned.

        A parameter with a default is optional. Keyword-only parameters are settings. A list of stages runs them all.
    trajectory
        A run, or runs by name; the results of several are stacked on `run`.
    parent
        The run that this one restarted from, or any other to compare with. "recorded" takes, of several runs, the one
        among them that each names as `parent` in run.json; runs that name none are excluded.
    on
        What takes the place of the weights that the stage asks for: `gradients`, `buffers`, `adapters`, the updates
        ΔW = scale · B A of LoRA, or `activations`, which replays the snapshots: each layer is then a tensor,
        (step, sample, unit, …), stacked on `parameter`.
    model
        The network to replay snapshots in, a function that builds it, or the name of one, "package.module:factory"; by
        default the one that run.json names.
    probe
        Inputs to replay, in any form that `trajlab.replay` takes; by default the probe of the run.
    device
        PyTorch device to replay on, such as "cuda"; by default the CPU.
    unit_axis
        Axes over units, as `trajlab.replay` takes them: "-1" for all layers, "relu*=1" for some.
    settings
        The stage's settings; of several stages, a mapping of settings by the name of the stage.

    Raises
    ------
    BadSetting
        There is no such stage or setting.
    MissingData
        The run lacks what the stage needs, or there are no recorded parents.

    Examples
    --------
    >>> import numpy as np, trajlab
    >>> def largest(weight, *, power=1):
    ...     return abs(weight).max(weight.dims[1:]) ** power
    >>> walk = trajlab.from_arrays({"w": np.arange(6.0).reshape(3, 2)})
    >>> trajlab.run(largest, walk, power=2).largest.values.ravel()
    array([ 1.,  9., 25.])
    >>> results = trajlab.run(["drift", "distribution"], walk, drift={"reference": -1}).compute()
    >>> results["drift/total_distance_l2"].values
    array([5.65685425, 2.82842712, 0.        ])
    """
    shared = {"parent": parent, "on": on, "model": model, "probe": probe, "device": device, "unit_axis": unit_axis}
    if isinstance(stage_or_name, str) or not isinstance(stage_or_name, Sequence):
        return _run_stage(stage_or_name, trajectory, **shared, settings=settings)
    by_name = {each if isinstance(each, str) else stage_name(each): each for each in stage_or_name}
    _check_together(stage_or_name, by_name, settings)
    results = {
        name: _run_stage(each, trajectory, **shared, settings=settings.get(name, {})) for name, each in by_name.items()
    }
    return xr.DataTree.from_dict(results)


def _check_together(stages: Sequence[Stage], by_name: Mapping[str, Stage], settings: Mapping[str, Any]) -> None:
    """Raise BadSetting if several stages share a name, or settings are not mappings by the name of a stage."""
    if not by_name or len(by_name) < len(stages):
        raise BadSetting(
            f"cannot run {len(stages)} stages together: they have {len(by_name)} different names; name each stage once"
        )
    for name, value in settings.items():
        if name not in by_name or not isinstance(value, Mapping):
            raise BadSetting(
                f"cannot use {name}={value!r} for {len(by_name)} stages: settings of several stages are mappings by "
                f"the name of the stage; write {next(iter(by_name))}={{'setting': value}}"
            )


def _run_stage(
    stage_or_name: Stage,
    trajectory: Trajectory | Mapping[str, Trajectory],
    *,
    parent: Trajectory | str | None,
    on: str | None,
    model: Any,
    probe: Any,
    device: str | None,
    unit_axis: Sequence[str] | None,
    settings: Mapping[str, Any],
) -> xr.Dataset:
    function = stage(stage_or_name) if isinstance(stage_or_name, str) else stage_or_name
    settings = check_settings(function, settings)
    name = stage_name(function)
    if on is not None:
        check_on(name, on, needs_of(function))
    if not isinstance(trajectory, Trajectory) and not trajectory:
        raise MissingData(f"cannot compute {name}: there are no runs; name at least one")
    trajectory, parent = (_equipped(runs, model, probe, device, unit_axis) for runs in (trajectory, parent))
    inputs = Inputs(name, on)
    finish = _unchanged
    if takes_tensors(function, on):
        finish = partial(with_left_out, optimizer="moments" in needs_of(function))
    if isinstance(parent, str):
        if parent != RECORDED or isinstance(trajectory, Trajectory) or compares(function):
            raise BadSetting(
                f"cannot use {parent!r} as parent of {name}: only several runs of a stage that takes one at a time "
                f"can have their {RECORDED!r} parents; name a run"
            )
        parents = _recorded_parents(trajectory)
    elif compares(function):
        return finish(call_for_pairs(function, inputs, trajectory, parent, settings), trajectory)
    elif isinstance(trajectory, Trajectory):
        trajectory = comparable(trajectory, parent, function)
        return finish(call_stage(function, inputs, {"": trajectory, "parent_": parent}, settings), trajectory)
    else:
        parents = dict.fromkeys(trajectory, parent)
    runs = {key: comparable(trajectory[key], parents[key], function) for key in parents}
    results = {key: call_stage(function, inputs, {"": runs[key], "parent_": parents[key]}, settings) for key in parents}
    return finish(described(joined(results, "run"), runs), runs)


def _unchanged(result: xr.Dataset, runs: Any) -> xr.Dataset:
    return result


def _recorded_parents(runs: Mapping[str, Trajectory]) -> dict[str, Trajectory | None]:
    """Return the parents that runs name in run.json, by the names of these runs."""
    named = {name: run.facts.get("describe", {}).get(PARENT) for name, run in runs.items()}
    parents: dict[str, Trajectory | None] = {
        name: runs[parent] for name, parent in named.items() if isinstance(parent, str) and parent in runs
    }
    missing = [f"{parent} of {name}" for name, parent in named.items() if parent is not None and name not in parents]
    if missing or not parents:
        reason = f"the runs lack {', '.join(missing)}" if missing else "no run names one"
        raise MissingData(
            f"cannot find recorded parents among {', '.join(runs)}: {reason}; put the parents among the runs and "
            "record with Recorder(describe={'parent': 'name of the run'}), or name one run as parent"
        )
    return parents


def _equipped(runs: Any, model: Any, probe: Any, device: str | None, unit_axis: Sequence[str] | None) -> Any:
    """Return runs with a network, a probe, a device and unit axes to replay them with, if any is given."""
    if runs is None or isinstance(runs, str) or all(option is None for option in (model, probe, device, unit_axis)):
        return runs
    if probe is not None:
        from trajlab.replays.probe_batches import as_probe  # imports torch

        probe = as_probe(probe)
    if isinstance(runs, Trajectory):
        return runs.with_model(model, probe=probe, device=device, unit_axis=unit_axis)
    return {name: run.with_model(model, probe=probe, device=device, unit_axis=unit_axis) for name, run in runs.items()}
