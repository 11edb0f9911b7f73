"""What of a run can be compared with its parent entry by entry."""

from collections.abc import Callable
from copy import copy

from trajlab.errors import MissingData
from trajlab.running.inputs import needs_of
from trajlab.runs.trajectory import Trajectory


def comparable(run: Trajectory, parent: Trajectory | None, function: Callable) -> Trajectory:
    """Return a run without the weights that its parent lacks or has in another shape, such as a new head.

    They are named as left out, and so are weights of the parent that the run lacks. Stages that take no weights of the
    parent get the run as it is.

    Parameters
    ----------
    run
        The run.
    parent
        The run that it is compared with; None for none.
    function
        The stage.

    Raises
    ------
    MissingData
        They share no tensor.
    """
    if parent is None or not {"parent_weight", "parent_weights"} & set(needs_of(function)):
        return run
    shapes, of_parent = ({name: tensor.shape for name, tensor in of.weights.series.items()} for of in (run, parent))
    reasons = {name: "the parent has no such tensor" for name in shapes if name not in of_parent}
    for name, shape in shapes.items():
        if of_parent.get(name, shape) != shape:
            reasons[name] = f"its shape is {list(shape)}, in the parent {list(of_parent[name])}"
    if len(reasons) == len(shapes):
        has_adapters = any(".lora_A." in name for name in shapes)
        remedy = "leave the parent out and compute --on adapters" if has_adapters else "name a run of the same network"
        raise MissingData(
            f"cannot compare {run.source or 'the run'} with its parent {parent.source}: they share no tensor of one "
            f"name and shape; the run has {', '.join(list(shapes)[:4])}, the parent {', '.join(list(of_parent)[:4])}; "
            f"{remedy}"
        )
    gone = {f"{name} of the parent": "the run has no such tensor" for name in of_parent if name not in shapes}
    if not reasons and not gone:
        return run
    common = copy(run)
    common.weights = run.weights.without(reasons | gone)
    return common
