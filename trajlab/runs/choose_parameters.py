"""Choose by their names which tensors of a run count as its parameters."""

from copy import copy

from trajlab.errors import BadSetting, first_of
from trajlab.runs.patterns import compile_pattern
from trajlab.runs.tensors import Tensors, attributes_of
from trajlab.runs.trajectory import Trajectory


def choose_parameters(trajectory: Trajectory, pattern: str) -> Trajectory:
    """Return a run whose weights are the tensors that match a pattern, integers among them; all others are buffers.

    Parameters
    ----------
    trajectory
        The run.
    pattern
        Regular expression that is searched in the names.

    Raises
    ------
    BadSetting
        The pattern is not a regular expression, or matches no tensor.
    """
    matches = compile_pattern(pattern, "pattern").search
    weights, buffers = trajectory.weights.series, trajectory.buffers.series
    tensors = weights | buffers
    chosen = {name: series for name, series in tensors.items() if matches(name) and series.stored.kind != "c"}
    if not chosen:
        raise BadSetting(
            f"cannot choose parameters by {pattern!r}: it matches none of {first_of(tensors)}; change the pattern"
        )
    others = {name: series for name, series in tensors.items() if name not in chosen}
    unusable = {name: reason for name, reason in trajectory.weights.unusable.items() if matches(name)}
    left_out = {name: reason for name, reason in trajectory.weights.left_out.items() if matches(name)}
    gradients = {name: series for name, series in trajectory.gradients.series.items() if name in chosen}
    run = copy(trajectory)
    run.weights = Tensors(
        chosen,
        attributes_of(run.facts, chosen),
        unusable,
        {name: reason for name, reason in left_out.items() if name not in chosen},
    )
    run.gradients = Tensors(gradients, attributes_of(run.facts, gradients, chosen))
    run.buffers = Tensors(others)
    run.chosen_by = pattern
    return run
