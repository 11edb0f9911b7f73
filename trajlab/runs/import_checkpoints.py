"""Import any folder of checkpoints as a run folder."""

import json
from pathlib import Path
from typing import Any

from trajlab.errors import TrajlabError
from trajlab.runs.disk.atomic import atomic
from trajlab.runs.disk.manifest import note_files
from trajlab.runs.disk.paths import as_path
from trajlab.runs.open import open as open_trajectory
from trajlab.runs.pack import check_keeps_all
from trajlab.runs.trajectory import Trajectory
from trajlab.schema import MODEL_FILE, RUN_FILE, SNAPSHOTS_VERSION, checkpoint_folder


def import_checkpoints(source: Trajectory | str | Path, run: str | Path) -> Path:
    """Write a folder of checkpoints, in any layout that `trajlab.open` reads, as a run folder.

    Weights and buffers keep their element types. Optimizer states and the like are not imported.

    Parameters
    ----------
    source
        A trajectory, as `trajlab.open` returns it, or the path of one.
    run
        The run folder to write; it is complete or absent.

    Raises
    ------
    OutputExists
        `run` exists.
    MissingData
        A tensor changes its shape between steps and cannot be one array.
    """
    trajectory = source if isinstance(source, Trajectory) else open_trajectory(source)
    check_keeps_all(trajectory, "import")
    target = as_path(run)
    with atomic(target) as part:
        write_snapshots(trajectory, part, describe={"imported_from": trajectory.source})
    return target


def write_snapshots(trajectory: Trajectory, folder: Path, **facts: Any) -> None:
    """Write the weights and buffers of all steps, and run.json, into a folder.

    Parameters
    ----------
    trajectory
        The run.
    folder
        The folder, which exists and is empty.
    facts
        Entries of run.json beside those that follow from the tensors.
    """
    for step in trajectory.steps.tolist():
        _write_checkpoint(trajectory, step, folder / checkpoint_folder(step))
    (folder / RUN_FILE).write_text(json.dumps(_facts(trajectory) | facts, indent=1) + "\n")
    note_files(folder, folder / RUN_FILE, *sorted(folder.glob(f"*/{MODEL_FILE}")))


def _write_checkpoint(trajectory: Trajectory, step: int, folder: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    folder.mkdir()
    tensors = {name: tensor.contiguous() for name, tensor in trajectory.at(step, partial=True).items()}
    try:
        save_file(tensors, folder / MODEL_FILE)
    except SafetensorError as error:
        raise TrajlabError(
            f"cannot write step {step} to {folder.parent}: {error}; nothing was changed there, so free space or choose "
            "another folder"
        ) from error


def _facts(trajectory: Trajectory) -> dict:
    weights = trajectory.weights.series
    return {
        "format": SNAPSHOTS_VERSION,
        "parameters": list(weights),
        "buffers": list(trajectory.buffers),
        "shapes": {name: list(series.shape) for name, series in weights.items()},
        "left_out": trajectory.weights.left_out,
        "gradients": None,
        "probe": None,
        "steps": {"source": trajectory.step_source, "left_aside": trajectory.left_aside},
    }
