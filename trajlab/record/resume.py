"""Resume a run on disk: how far it is complete, whether it is the same run, and which rows to drop."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from trajlab.errors import BadSetting, DamagedData
from trajlab.record.folder_lock import LOCK_FILE
from trajlab.record.writer import TEMPORARY, naming_failures, replacing, write_json, write_tensors
from trajlab.runs.disk.manifest import note_files, prune_manifest
from trajlab.schema import (
    GRADIENTS_FOLDER,
    METRICS_FILE,
    RUN_FILE,
    SNAPSHOTS_VERSION,
    checkpoint_folder,
    segment_file,
)

IDENTITY = ("parameters", "buffers", "tied", "shapes", "gradients", "probe")
"""Entries of run.json that a resumed run must share with the run on disk."""


def read_run(directory: Path) -> dict[str, Any]:
    """Read run.json."""
    path = directory / RUN_FILE
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        version = facts["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedData(
            f"cannot resume {directory}: {path} was not written by a Recorder ({error}); restore it, or record to "
            "another folder"
        ) from error
    if version != SNAPSHOTS_VERSION:
        raise DamagedData(
            f"cannot resume {directory}: its format is {version}, not {SNAPSHOTS_VERSION}; record to another folder"
        )
    return facts


def check_same_run(directory: Path, recorded: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise BadSetting if the model, sampling or probe differs from that of the run on disk."""
    now = json.loads(json.dumps(now))
    differences = [
        line
        for fact in IDENTITY
        if recorded[fact] != now[fact]
        for line in _differences(fact, recorded[fact], now[fact])
    ]
    if differences:
        raise BadSetting(
            f"cannot resume {directory}: it was recorded with other settings: {'; '.join(differences)}; "
            "resume with these, or record to another directory"
        )


def next_step(directory: Path, when: Callable[[int], bool], gradients_when: Callable[[int], bool] | None) -> int:
    """Find the first step that is not completely on disk.

    Parameters
    ----------
    directory
        The run.
    when
        The schedule of the checkpoints.
    gradients_when
        The schedule of the gradients, None if they are not recorded.
    """
    rows = list(_metric_steps(directory))
    end = rows[-1] + 1 if rows else 0
    closed = read_run(directory)["closed"] if (directory / RUN_FILE).exists() else None
    end = end if closed is None else min(end, closed)  # a row may hold metrics of the weights after the last update
    expected = [(when, max(_checkpoints(directory), default=-1))]
    if gradients_when is not None:
        last = max((steps[-1] for steps in _segments(directory).values()), default=-1)
        expected.append((gradients_when, last))
    for schedule, last in expected:
        end = next((step for step in range(last + 1, end) if schedule(step)), end)
    return end


def drop_from(directory: Path, step: int) -> None:
    """Remove all rows recorded at or after a step, and unfinished files.

    A crash meanwhile leaves a run that opens, and that can be resumed at `step` or before.
    """
    for unfinished in [*directory.glob(f"{TEMPORARY}*"), *directory.glob(f"{GRADIENTS_FOLDER}/{TEMPORARY}*")]:
        if unfinished.is_dir():
            shutil.rmtree(unfinished)
        elif unfinished.name != LOCK_FILE:
            unfinished.unlink()
    facts = read_run(directory)
    if facts["closed"] is not None:
        write_json(directory / RUN_FILE, facts | {"closed": None})
    for checkpoint in sorted(_checkpoints(directory), reverse=True):
        if checkpoint >= step:
            folder = directory / checkpoint_folder(checkpoint)
            removed = folder.rename(folder.with_name(TEMPORARY + folder.name))
            shutil.rmtree(removed)
    segments = _segments(directory)
    for path in sorted(segments, key=lambda path: segments[path][0], reverse=True):
        if segments[path][0] >= step:
            path.unlink()
        else:
            _shorten_segment(directory, path, step)
    _shorten_metrics(directory / METRICS_FILE, step)
    prune_manifest(directory, RUN_FILE, METRICS_FILE)


def _differences(fact: str, recorded: Any, now: Any) -> Iterator[str]:
    if isinstance(recorded, dict) and isinstance(now, dict):
        for key in [*recorded, *(key for key in now if key not in recorded)]:
            if recorded.get(key) != now.get(key):
                yield f"{fact} {key} was {recorded.get(key, 'absent')}, is {now.get(key, 'absent')}"
    elif isinstance(recorded, list) and isinstance(now, list):
        gone = [name for name in recorded if name not in now]
        new = [name for name in now if name not in recorded]
        yield f"{fact} lack {gone} and have {new} besides" if gone or new else f"{fact} are in another order"
    else:
        yield f"{fact} was {recorded}, is {now}"


def _checkpoints(directory: Path) -> list[int]:
    numbers = (folder.name.removeprefix("checkpoint-") for folder in directory.glob("checkpoint-*"))
    return [int(number) for number in numbers if number.isdigit()]


def _segments(directory: Path) -> dict[Path, list[int]]:
    paths = (directory / GRADIENTS_FOLDER).glob("[0-9]*-[0-9]*.safetensors")
    return {path: _rows(path)["steps"] for path in paths}


def _rows(path: Path) -> dict[str, Any]:
    """Read the steps of a segment's rows, and for each parameter those at which it had no gradient."""
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads(file.metadata()["rows"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DamagedData(f"cannot read {path}: {error}; remove it to resume before its first step") from error


def _shorten_segment(directory: Path, path: Path, stop: int) -> None:
    rows = _rows(path)
    steps = [step for step in rows["steps"] if step < stop]
    kept = {name: [step for step in gaps if step < stop] for name, gaps in rows["absent"].items()}
    name = path.with_name(segment_file(steps[0], steps[-1]))
    if len(steps) < len(rows["steps"]):
        tensors: dict[str, torch.Tensor] = {}
        with safe_open(path, framework="pt") as file:
            for key in file.keys():
                count = len(steps) - len(kept.get(key, []))
                if count:
                    tensors[key] = file.get_slice(key)[:count]
        gaps = {key: value for key, value in kept.items() if value}
        write_tensors(path, tensors, {"rows": json.dumps({"steps": steps, "absent": gaps})})
    os.replace(path, name)
    if name != path:
        note_files(directory, name)


def _metric_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    if not path.exists():
        return
    with open(path, "rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line)["step"], line
            except (ValueError, KeyError, TypeError) as error:
                raise DamagedData(f"cannot read {path}: {line!r} is not a row of metrics; remove the line") from error


def _metric_steps(directory: Path) -> Iterator[int]:
    return (step for step, _ in _metric_lines(directory / METRICS_FILE))


def _shorten_metrics(path: Path, stop: int) -> None:
    with naming_failures(path), replacing(path) as temporary:
        with open(temporary, "wb") as file:
            file.writelines(line for step, line in _metric_lines(path) if step < stop)
