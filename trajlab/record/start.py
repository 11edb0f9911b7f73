"""The start of a recording: in an empty folder, or at a step of the run that is there."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from trajlab.errors import BadSetting, MissingData, OutputExists
from trajlab.record.folder_lock import LOCK_FILE
from trajlab.record.resume import check_same_run, drop_from, next_step, read_run
from trajlab.record.writer import TEMPORARY, naming_failures, write_json, write_tensors
from trajlab.runs.disk.manifest import note_files
from trajlab.schema import GRADIENTS_FOLDER, INDICES_FILE, METRICS_FILE, PROBE_FILE, RUN_FILE


def begin_run(
    directory: Path,
    facts: Mapping[str, Any],
    resume: bool | int,
    when: Callable[[int], bool],
    gradients_when: Callable[[int], bool] | None,
) -> tuple[int, dict[str, Any]]:
    """Determine the first step to record, and drop the rows that will be recorded again.

    Parameters
    ----------
    directory
        The folder of the run.
    facts
        The content of run.json for a new run.
    resume
        False for a new run; True to resume after the last complete row; a step to resume there.
    when, gradients_when
        The schedules of weights and gradients, None for no gradients.

    Returns
    -------
    The first step to record, and the content of run.json.
    """
    names = sorted(path.name for path in directory.iterdir() if path.name != LOCK_FILE) if directory.exists() else []
    if resume is False and names:
        raise OutputExists(
            f"cannot record to {directory}: it holds {', '.join(names[:3])}{'…' if len(names) > 3 else ''}; name an "
            "empty folder, or resume the run there with resume=True"
        )
    if RUN_FILE not in names:
        if any(not name.startswith(TEMPORARY) for name in names):
            raise OutputExists(
                f"cannot resume {directory}: it is not a run, as it has no {RUN_FILE}; name another folder"
            )
        if resume is not True and resume > 0:
            raise MissingData(f"cannot resume {directory} at step {resume}: no run is there; start with resume=True")
        return 0, dict(facts)
    recorded = read_run(directory)
    check_same_run(directory, recorded, facts)
    end = next_step(directory, when, gradients_when)
    begin = end if resume is True else resume
    if begin < 0:
        raise BadSetting(f"cannot use resume={resume!r}: pass True, False or a step from 0 on")
    if begin > end:
        raise MissingData(
            f"cannot resume {directory} at step {begin}: it is complete up to step {end} only; resume at {end} or "
            "before, and call flush() on the Recorder when you save the state of your training"
        )
    drop_from(directory, begin)
    return begin, recorded | {"closed": None, "describe": facts["describe"] or recorded["describe"]}


def write_constants(
    directory: Path,
    facts: Mapping[str, Any],
    probe: Mapping[str, torch.Tensor],
    indices: Mapping[str, torch.Tensor],
) -> dict[str, torch.Tensor]:
    """Write the constants of a run: run.json, the probe, the indices of the sampled entries.

    Returns
    -------
    The indices; those on disk if the run is resumed.
    """
    with naming_failures(directory):
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / RUN_FILE, facts)
        if probe:
            write_tensors(directory / PROBE_FILE, probe, {})
        if facts["gradients"] is None:
            return {}
        (directory / GRADIENTS_FOLDER).mkdir(exist_ok=True)
        path = directory / GRADIENTS_FOLDER / INDICES_FILE
        if indices and not path.exists():
            write_tensors(path, indices, {})
    return load_file(path) if indices else {}


def note_constants(directory: Path) -> None:
    """Add to the manifest the files that do not change once a run is closed."""
    names = (RUN_FILE, METRICS_FILE, PROBE_FILE, f"{GRADIENTS_FOLDER}/{INDICES_FILE}")
    with naming_failures(directory):
        note_files(directory, *(directory / name for name in names if (directory / name).is_file()))
