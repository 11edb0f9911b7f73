"""A run as a command opens it: with a line on stderr about how its steps were read."""

from pathlib import Path

from trajlab.running.options import Reading
from trajlab.running.step_source import say_step_source, step_attrs
from trajlab.runs.open import open as open_trajectory
from trajlab.runs.trajectory import Trajectory


def open_run(path: Path, reading: Reading, *, trust: bool = False) -> Trajectory:
    """Open a run, and say on stderr how its steps were read from names and which checkpoints were left aside."""
    trajectory = open_trajectory(path, trust=trust, **reading)
    say_step_source(step_attrs(trajectory))
    return trajectory
