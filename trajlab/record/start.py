"""Where a run begins: in an empty folder, or in the middle of the run that is there."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from trajlab.errors import BadSetting, MissingData, OutputExists
from trajlab.record.resume import check_same_run, drop_from, next_step, read_run
from trajlab.record.writer import TEMPORARY, naming_failures, write_json, write_tensors
from trajlab.schema import GRADIENTS_FOLDER, INDICES_FILE, PROBE_FILE, RUN_FILE


def find_place(
    directory: Path,
    facts: Mapping[str, Any],
    resume: bool | int,
    when: Callable[[int], bool],
    gradients_when: Callable[[int], bool] | None,
) -> tuple[int, dict[str, Any]]:
    """Decide where recording begins, and make room there.

    Parameters
    ----------
    directory
        The folder of the run.
    facts
        The content of run.json for a new run.
    resume
        False for a new run; True to go on after the last complete row; a step to go on there.
    when, gradients_when
        The schedules of weights and gradients, None for no gradients.

    Returns
    -------
    The first step to record, and the content of run.json.
    """
    if directory.exists() and not directory.is_dir():
        raise OutputExists(f"cannot record to {directory}: it is a file; name a folder")
    found = sorted(path.name for path in directory.iterdir()) if directory.exists() else []
    if resume is False and found:
        raise OutputExists(
            f"cannot record to {directory}: it holds {', '.join(found[:3])}{'…' if len(found) > 3 else ''}. "
            "Name an empty folder, or go on with the run there with resume=True"
        )
    if RUN_FILE not in found:
        if any(not name.startswith(TEMPORARY) for name in found):
            raise OutputExists(f"cannot resume {directory}: it is not a run, it has no {RUN_FILE}; name another folder")
        if resume is not True and resume > 0:
            raise MissingData(f"cannot resume {directory} at step {resume}: no run is there; start with resume=True")
        return 0, dict(facts)
    recorded = read_run(directory)
    check_same_run(directory, recorded, facts)
    end = next_step(directory, when, gradients_when)
    begin = end if resume is True else resume
    if begin < 0:
        raise BadSetting(f"resume takes True, False or a step from 0 on; found {resume!r}")
    if begin > end:
        raise MissingData(
            f"cannot resume {directory} at step {begin}: it is complete up to step {end} only. Go back to {end} or "
            "before, and call flush() on the Recorder when you save the state of your training"
        )
    drop_from(directory, begin)
    return begin, recorded | {"closed": None, "describe": facts["describe"] or recorded["describe"]}


def lay_out(
    directory: Path,
    facts: Mapping[str, Any],
    probe: Mapping[str, torch.Tensor],
    indices: Mapping[str, torch.Tensor],
) -> dict[str, torch.Tensor]:
    """Write what stays the same over a run: run.json, the probe, the indices of the sampled entries.

    Returns
    -------
    The indices, those that are on disk if they were there before.
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
