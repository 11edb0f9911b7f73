"""Which network a run trained, as its facts say it.

Importing this imports no torch: whoever asks only whether a run can be replayed does not pay for it.
"""

from typing import Any

from trajlab.runs.trajectory import Trajectory
from trajlab.runs.transformers_model import architecture_class
from trajlab.runs.trust import model_description


def factory_of(trajectory: Trajectory) -> tuple[str, dict[str, Any]] | None:
    """Return the factory that run.json names, and its arguments; None if it names none."""
    model = model_description(trajectory.facts)
    return None if model is None else (model["factory"], dict(model.get("arguments") or {}))


def lacks_model(trajectory: Trajectory) -> bool:
    """Return whether it is not known which network a run trained, or the run lacks some of its tensors by choice."""
    if trajectory.facts.get("not_recorded"):
        return True
    if trajectory.model is not None or factory_of(trajectory) is not None:
        return False
    return not architecture_class(trajectory.facts)


def lacks_probe(trajectory: Trajectory) -> bool:
    """Return whether a run has no inputs to replay."""
    return "inputs" not in trajectory.probe
