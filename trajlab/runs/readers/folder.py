"""Read a folder of checkpoints: one that a Recorder wrote, or any other."""

import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from trajlab.errors import DamagedData, MissingData
from trajlab.runs.disk.lazy import lazy
from trajlab.runs.disk.paths import is_url
from trajlab.runs.disk.rows import Rows
from trajlab.runs.readers.checkpoints import RECORDED, find_checkpoints
from trajlab.runs.readers.foreign_files import describe_foreign
from trajlab.runs.readers.formats import Format
from trajlab.runs.readers.formats.safetensors import read_header
from trajlab.runs.readers.layout import has_steps, is_snapshot
from trajlab.runs.readers.metrics import read_metrics
from trajlab.runs.readers.segments import read_segments
from trajlab.runs.readers.series import read_checkpoints, split, tied, unanalyzed
from trajlab.runs.tensors import Tensors, attributes_of
from trajlab.runs.trajectory import Trajectory
from trajlab.schema import GRADIENTS_FOLDER, PROBE_FILE, RUN_FILE, SNAPSHOTS_VERSION

TYPES = {"parameters": list, "modules": dict, "describe": dict, "tied": dict, "probe": dict, "steps": dict}
"""Types of entries of run.json."""

MOST = 4
"""Most files that an error names."""


def read_folder(
    folder: Path,
    step_pattern: str | None = None,
    formats: Sequence[Format] = (),
    series: str | None = None,
    *,
    key: str | None = None,
) -> Trajectory:
    """Open a folder of checkpoints without reading the tensors.

    Of a folder that no Recorder wrote, the fact `steps` says how steps were read and what was left aside.

    Parameters
    ----------
    folder
        The folder.
    step_pattern
        Regular expression whose first group is the step in the name of a checkpoint.
    formats
        Formats of files besides our own.
    series
        Which checkpoints to take, where the folder holds several networks.
    key
        Key of the networks to read, of files or folders with several.

    Raises
    ------
    BadSetting
        No network has the key.
    MissingData
        The folder holds no checkpoint.
    DamagedData
        A file is damaged or of another version, or two checkpoints are of one step.
    AmbiguousData
        Nothing tells the steps, or the network, for certain.
    """
    facts = read_facts(folder)
    listing = find_checkpoints(folder, RECORDED if facts else step_pattern, formats, None if facts else series)
    checkpoints = listing.snapshots
    if not checkpoints:
        inside = _with_checkpoints(folder, formats)
        if not inside and not is_url(folder) and (foreign := describe_foreign(folder)):
            raise MissingData(f"cannot find checkpoints in {folder}: {foreign}")
        if weightless := {name: why for name, why in listing.left_aside.items() if why.startswith("it holds")}:
            raise DamagedData(
                f"cannot find weights in {folder}: {'; '.join(f'{name}: {why}' for name, why in weightless.items())}; "
                "save a state_dict, alone or under a key such as model"
            )
        others = ", ".join(f"{name} ({reason})" for name, reason in list(listing.left_aside.items())[:MOST])
        raise MissingData(
            f"cannot find checkpoints in {folder}: it holds no file of weights"
            f"{f' but {others}' if others else ''}{f', but {inside} does' if inside else ''}; name a folder of "
            "checkpoint-<step>/model.safetensors, step3000.pt or the like, or say where the step stands in the name "
            "with --step-pattern"
        )
    recorded = [*facts.get("parameters", ()), *facts.get("buffers", ()), *facts.get("tied", {})]
    tensors, unusable, left_out = read_checkpoints(checkpoints, key=key, literal=recorded)
    aliases = {} if facts else tied(tensors)
    if not facts:
        facts = {"steps": {"source": listing.source, "left_aside": listing.left_aside}}
    if aliases:
        facts["tied"] = aliases
        tensors = {name: tensor for name, tensor in tensors.items() if name not in aliases}
    weights, buffers = split(tensors, facts.get("parameters"))
    if "parameters" not in facts:
        left_out |= {name: reason for name, tensor in buffers.items() if (reason := unanalyzed(name, tensor))}
    shapes = {name: tensor.shape for name, tensor in weights.items()}
    gradients = read_segments(folder / GRADIENTS_FOLDER, shapes)
    return Trajectory(
        Tensors(weights, attributes_of(facts, weights), unusable, left_out),
        Tensors(gradients, attributes_of(facts, gradients)),
        Tensors(buffers),
        metrics=read_metrics(folder, checkpoints[-1].name),
        probe=_probe(folder / PROBE_FILE, facts),
        facts=facts,
        source=str(folder),
    )


def _with_checkpoints(folder: Path, formats: Sequence[Format]) -> Path | None:
    """Find a folder of checkpoints further down, as lightning_logs/version_0/checkpoints; too slow behind a URL."""
    if is_url(folder):
        return None
    for inside in islice((path for depth in ("*", "*/*", "*/*/*") for path in folder.glob(depth)), 1000):
        with suppress(OSError, DamagedData):
            if inside.is_dir() and not is_snapshot(inside, formats) and has_steps(inside, formats):
                return inside
    return None


def read_facts(folder: Path) -> dict[str, Any]:
    """Read run.json; empty where there is none."""
    path = folder / RUN_FILE
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text())
        version = facts["format"]
        wrong = wrong_facts(facts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedData(
            f"cannot read {path}: it is not JSON with a format ({error!r}); restore it, or remove it to open the "
            "folder as plain checkpoints"
        ) from error
    if version != SNAPSHOTS_VERSION:
        raise DamagedData(
            f"cannot read {path}: its format is {version!r}, this trajlab reads {SNAPSHOTS_VERSION}; open it with the "
            "trajlab that wrote it"
        )
    if wrong:
        raise DamagedData(
            f"cannot read {path}: its entry {wrong[0]} has the wrong type; restore it, or remove it to open the folder "
            "as plain checkpoints"
        )
    return {key: value for key, value in facts.items() if key not in TYPES or value is not None}


def wrong_facts(facts: dict[str, Any]) -> list[str]:
    """Return the names of entries of run.json whose values have the wrong type."""
    wrong = [key for key, kind in TYPES.items() if not isinstance(facts.get(key), kind | None)]
    steps = facts.get("steps") or {}
    wrong += ["steps"] if "steps" not in wrong and not isinstance(steps.get("left_aside", {}), dict) else []
    names = facts.get("parameters")
    return [*wrong, "parameters"] if isinstance(names, list) and not all(isinstance(n, str) for n in names) else wrong


def _probe(path: Path, facts: dict[str, Any]) -> xr.Dataset:
    if not path.is_file():
        return xr.Dataset()
    tensors = {}
    entries = read_header(str(path)).entries
    counts = {(_kind(name), entry.shape[:1]) for name, entry in entries.items()}
    kinds = {kind for kind, _ in counts}
    if "inputs" not in entries or len(counts) != len(kinds) or any(shape == () for _, shape in counts):
        raise DamagedData(
            f"cannot read {path} as a probe: it holds {', '.join(entries) or 'nothing'}, without inputs or with "
            "different numbers of samples; restore it, or move it out of the folder"
        )
    for name, entry in entries.items():
        row = int(np.prod(entry.shape[1:], dtype=np.int64)) * entry.stored.itemsize
        offset = (entry.offset or 0) + row * np.arange(entry.shape[0])
        table = Rows((str(path),), np.zeros(len(offset), np.int32), offset, entry.shape[1:], entry.stored)
        tensors[name] = ((f"{_kind(name)}sample", *(f"{name}_{i}" for i in range(len(entry.shape) - 1))), lazy(table))
    recorded = facts.get("probe") or {}
    hashes = {f"{kind}_sha256": sha256 for kind, sha256 in (recorded.get("kinds") or {}).items()}
    return xr.Dataset(tensors, attrs={"sha256": recorded.get("sha256", ""), **hashes})


def _kind(name: str) -> str:
    """Return the prefix of a probe's tensor, such as "train_"; empty for the main examples."""
    return name.removesuffix("inputs").removesuffix("targets")
