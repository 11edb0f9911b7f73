"""A folder of checkpoints as a recording: a run of ours with all it holds, or what somebody else left behind."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import DamagedData, MissingData
from trajlab.schema import GRADIENTS_FOLDER, METRICS_FILE, PROBE_FILE, RUN_FILE, SNAPSHOTS_VERSION
from trajlab.snapshots.checkpoints import find_checkpoints, read_checkpoints, split
from trajlab.snapshots.lazy import lazy
from trajlab.snapshots.rows import Rows
from trajlab.snapshots.safetensors import read_header
from trajlab.snapshots.segments import read_segments
from trajlab.snapshots.tensors import Recording, Tensors, attributes_of

KINDS = {"parameters": list, "modules": dict, "describe": dict, "tied": dict, "probe": dict}
"""What some entries of run.json must be, if they are there."""

OURS = r"^checkpoint-(\d+)$"
"""How a run of ours names its checkpoints; other files in its folder are none."""


def read_folder(folder: Path, step_pattern: str | None = None) -> Recording:
    """Read what is in a folder of checkpoints, without reading the tensors.

    Parameters
    ----------
    folder
        The folder.
    step_pattern
        Regular expression whose first group is the step in the name of a checkpoint.

    Raises
    ------
    MissingData
        There is no checkpoint in the folder.
    DamagedData
        A file is damaged, is of another version, or a step is there twice.
    """
    facts = read_facts(folder)
    checkpoints = find_checkpoints(folder, OURS if facts else step_pattern)
    if not checkpoints:
        raise MissingData(
            f"checkpoints were looked for in {folder}; there is no file of weights with a step in its name or in "
            "that of its folder. Name a folder of checkpoint-<step>/model.safetensors, step3000.pt or the like, or say "
            "where the step stands with --step-pattern."
        )
    lives, unusable = read_checkpoints(checkpoints)
    weights, buffers = split(lives, facts.get("parameters"))
    shapes = {name: life.shape for name, life in weights.items()}
    gradients = read_segments(folder / GRADIENTS_FOLDER, shapes)
    return Recording(
        weights=Tensors(weights, attributes_of(facts, weights), unusable),
        gradients=Tensors(gradients, attributes_of(facts, gradients)),
        buffers=Tensors(buffers),
        facts=facts,
        metrics=_metrics(folder / METRICS_FILE),
        probe=_probe(folder / PROBE_FILE, facts),
    )


def read_facts(folder: Path) -> dict[str, Any]:
    """Read run.json, empty for a folder that is not ours."""
    path = folder / RUN_FILE
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text())
        version = facts["format"]
        wrong = [key for key, kind in KINDS.items() if not isinstance(facts.get(key), kind | None)]
        wrong += [name for name in facts.get("parameters") or [] if not isinstance(name, str)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedData(
            f"{path} was to be read as the facts of a run; it is no JSON with a format ({error!r}). "
            "Restore it, or remove it to open the folder as plain checkpoints."
        ) from error
    if version != SNAPSHOTS_VERSION:
        raise DamagedData(
            f"{path} was expected to be of version {SNAPSHOTS_VERSION}; it is of {version!r}. "
            "Open it with the trajlab that wrote it."
        )
    if wrong:
        raise DamagedData(
            f"{path} was to be read as the facts of a run; what it says of {wrong[0]} is of the wrong kind. "
            "Restore it, or remove it to open the folder as plain checkpoints."
        )
    return {key: value for key, value in facts.items() if key not in KINDS or value is not None}


def _metrics(path: Path) -> xr.Dataset:
    rows: dict[int, dict[str, float]] = {}
    if path.is_file():
        text = path.read_text(errors="replace")
        whole_lines, _, _torn = text.rpartition("\n")  # a killed run may leave part of a line at the end
        for number, line in enumerate(whole_lines.splitlines(), 1):
            try:
                row = json.loads(line)
                step = int(row.pop("step"))
                np.int64(step)
                rows[step] = {name: float(value) for name, value in row.items() if name and _is_number(value)}
            except (ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
                raise DamagedData(
                    f"line {number} of {path} was to be read as metrics; it is {line[:60]!r}. Mend or remove the line."
                ) from error
    steps = sorted(rows)
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    columns = {name: ("step", [rows[step].get(name, np.nan) for step in steps]) for name in names}
    return xr.Dataset(columns, {"step": np.array(steps, np.int64)})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _probe(path: Path, facts: dict[str, Any]) -> xr.Dataset:
    if not path.is_file():
        return xr.Dataset()
    tensors = {}
    entries = read_header(str(path)).entries
    counts = {entry.shape[:1] for entry in entries.values()}
    if "inputs" not in entries or len(counts) != 1 or counts == {()}:
        raise DamagedData(
            f"{path} was to be read as a probe; it holds {', '.join(entries) or 'nothing'} of different numbers of "
            "samples, or no inputs. Restore it, or move it out of the folder."
        )
    for name, entry in entries.items():
        row = int(np.prod(entry.shape[1:], dtype=np.int64)) * entry.stored.itemsize
        offset = (entry.offset or 0) + row * np.arange(entry.shape[0])
        table = Rows((str(path),), np.zeros(len(offset), np.int32), offset, entry.shape[1:], entry.stored)
        tensors[name] = (("sample", *(f"{name}_{i}" for i in range(len(entry.shape) - 1))), lazy(table))
    return xr.Dataset(tensors, attrs={"sha256": (facts.get("probe") or {}).get("sha256", "")})
