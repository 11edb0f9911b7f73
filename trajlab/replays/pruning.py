"""A pruned snapshot: small weights, or units that are dead on the probe, set to zero."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from trajlab.errors import BadSetting, MissingData
from trajlab.replays.observers.activity import Activity
from trajlab.replays.replay import activations, replay
from trajlab.replays.stateless import check_prunable, matching
from trajlab.runs.tensors import Series, Tensors, attributes_of
from trajlab.runs.trajectory import Trajectory
from trajlab.scan.scan import position_of


def prune(
    trajectory: Trajectory,
    *,
    step: int = -1,
    threshold: float = 0.0,
    relative: float = 0.0,
    layers: Sequence[str] = (),
    dead: bool = False,
) -> Trajectory:
    """Return one snapshot of a run with pruned weights, as a run of one step; its tensors are in memory.

    Parameters
    ----------
    trajectory
        The run.
    step
        The recorded step; 0 is the first and -1 the last.
    threshold
        Weights below this size are set to zero. Weights are parameters of two dims or more, as in `evaluation`.
    relative
        Weights below that multiple of the RMS of their tensor are set to zero.
    layers
        Names of parameters, of their modules, or patterns of either, such as "conv*": only these are pruned. By default
        all.
    dead
        Whether to remove the units of ReLUs that are dead on the probe, at 0 for every sample: the rows of the weight
        and bias that lead into them, and their entries in normalizations on the way.

    Returns
    -------
    The run. The fact `pruned` holds the settings, how many entries of each parameter are zero that were not before,
    the dead units that were removed by layer, and `output_change`, the largest change of an output on the probe, NaN
    without one or a network.

    Raises
    ------
    BadSetting
        Nothing is to be pruned, a threshold is out of range, or a pattern matches no parameter.
    MissingData
        The step was not recorded, or the run cannot be replayed where dead units are to be removed.

    Examples
    --------
    >>> import trajlab
    >>> run = trajlab.from_arrays({"w": np.array([[[0.1, 2.0], [-3.0, 0.2]]])})
    >>> prune(run, threshold=1.0).weights["w"].values[0].tolist()
    [[0.0, 2.0], [-3.0, 0.0]]
    """
    if not (threshold > 0 or relative > 0 or dead):
        raise BadSetting("cannot prune: no threshold is above 0; set threshold, relative or dead")
    if not all(0 <= size < np.inf for size in (threshold, relative)):
        raise BadSetting(f"cannot prune with threshold={threshold} and relative={relative}: choose finite numbers ≥ 0")
    chosen = _matching(trajectory, layers)
    at = _snapshot(trajectory, step)
    before = {name: array.values[0] for name, array in at.weights.items()}
    after = {name: values.copy() for name, values in before.items()}
    for name in chosen:
        values = after[name]
        if values.ndim > 1:
            size, rms = abs(values.astype(np.float64)), np.sqrt((values.astype(np.float64) ** 2).mean())
            values[(size < threshold) | (size < relative * rms)] = 0
    removed = _remove_dead(at, after, chosen) if dead else {}
    old = at.weights.series
    series = {
        name: Series(old[name].steps, after[name][None], old[name].shape, origin=old[name].stored) for name in old
    }
    facts = {
        "threshold": threshold, "relative": relative, "layers": list(layers), "dead": dead,
        "zeroed": {name: int(((after[name] == 0) & (before[name] != 0)).sum()) for name in after},
        "removed": removed,
    }  # fmt: skip
    result = _with_weights(at, series, trajectory.facts | {"pruned": facts})
    facts["output_change"] = _output_change(at, result)
    return result


def mask_of(original: Trajectory, pruned: Trajectory) -> dict[str, np.ndarray]:
    """Return which entries of each parameter were kept: False where pruning set one to zero that was not.

    Parameters
    ----------
    original
        The run.
    pruned
        What `prune` made of it.
    """
    step = int(pruned.steps[0])
    return {
        name: (array.values[0] != 0) | (original.weights[name].sel(step=step).values == 0)
        for name, array in pruned.weights.items()
    }


def _matching(trajectory: Trajectory, patterns: Sequence[str]) -> list[str]:
    names = list(trajectory.weights)
    check_prunable(names, patterns)
    chosen = matching(names, patterns)
    return [name for name in names if name in chosen] if patterns else names


def _snapshot(trajectory: Trajectory, step: int) -> Trajectory:
    """Return one step of a run, in memory."""
    first = next(iter(trajectory.weights.values()), None)
    if first is None:
        raise MissingData("cannot prune: the run has no weights; name a run with snapshots")
    at = int(first["step"].values[position_of(first, step)])
    groups: list[dict[str, Series]] = []
    for tensors in (trajectory.weights, trajectory.buffers):
        groups.append({})
        for name, array in tensors.items():
            old = tensors.series[name]
            values = array.isel(step=[position_of(array, at)]).values
            groups[-1][name] = Series(np.array([at]), values, old.shape, origin=old.stored)
    snapshot = _with_weights(trajectory, groups[0], trajectory.facts)
    snapshot.buffers = Tensors(groups[1])
    return snapshot


def _with_weights(run: Trajectory, series: dict[str, Series], facts: dict[str, Any]) -> Trajectory:
    weights = Tensors(series, attributes_of(run.facts, series))
    changed = Trajectory(weights, buffers=run.buffers, probe=run.probe, facts=facts, source=run.source)
    changed.trusted = run.trusted
    return changed.with_model(run.model, device=run.device, unit_axis=run.unit_axis)


def _remove_dead(run: Trajectory, weights: dict[str, np.ndarray], chosen: Sequence[str]) -> dict[str, list[int]]:
    """Set what leads into dead units to zero, in place, and return these units by layer."""
    replayed = activations(run)
    if replayed is None:
        raise MissingData("cannot find dead units: the run has no probe or names no model; pass --probe and --model")
    removed = {}
    for name, table in replayed.observe(Activity()).items():
        attrs, columns = table.attrs, table.isel(step=0).to_dataset("column").compute()
        if not attrs["rectified"]:
            continue  # another activation of 0 is not 0, so that zeros would not leave the output as it is
        units = np.flatnonzero((columns["valid"] > 0) & (columns["at_low"] == columns["valid"]))
        paths = [path for path in (attrs["source"], *replayed.norms_before(name)) if f"{path}.weight" in chosen]
        if len(units) and attrs["source"] in paths:
            for parameter in (f"{path}.{kind}" for path in paths for kind in ("weight", "bias")):
                if parameter in weights:
                    weights[parameter][units] = 0
            removed[name] = units.tolist()
    return removed


def _output_change(before: Trajectory, after: Trajectory) -> float:
    """Return the largest change of an output on the probe; NaN without one or a network."""
    if activations(before) is None:
        return np.nan
    outputs = [replay(run, layers=[""])[""].values.astype(np.float64) for run in (before, after)]
    return float(abs(outputs[1] - outputs[0]).max(initial=0.0))
