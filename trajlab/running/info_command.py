"""Print inventories of runs, once or as they grow."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from trajlab.running.follow import follow as follow_run
from trajlab.running.show_inventory import show_growth, show_inventory
from trajlab.runs.inventory import inventory
from trajlab.runs.open import open as open_trajectory
from trajlab.runs.open import runs_in
from trajlab.runs.trajectory import Trajectory


def print_inventories(
    run: Path, reading: Mapping[str, Any], *, trust: bool = False, tensors: bool = True, follow: bool = False
) -> None:
    """Print the inventory of a run, or of each run of a folder.

    Parameters
    ----------
    run
        The run or the folder of runs.
    reading
        Options of `trajlab.open` that say which checkpoints are read, and how.
    trust
        Whether links that leave the folder are followed.
    tensors
        Whether each parameter is listed.
    follow
        Whether to add a line whenever a run has grown, until its Recorder closes it or ctrl-C.
    """
    console = Console(soft_wrap=True)
    shown: dict[str, Trajectory] = {}

    def show() -> bool:
        for name, path in (runs_in(run) or {"": run}).items():
            trajectory = open_trajectory(path, trust=trust, **reading)
            if name in shown:
                show_growth(name, shown[name], trajectory, console)
            else:
                if shown:
                    console.print()
                show_inventory(inventory(trajectory), console, tensors=tensors)
            shown[name] = trajectory
        return False

    if follow:
        follow_run(run, show)
    else:
        show()
