"""A folder of checkpoints as a recording: a run of ours with all it holds, or what somebody else left behind."""

import json
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
from trajlab.runs.readers.checkpoints import find_checkpoints, has_checkpoints, step_of
from trajlab.runs.readers.metrics import read_metrics
from trajlab.runs.readers.safetensors import read_header
from trajlab.runs.readers.segments import read_segments
from trajlab.runs.readers.series import read_checkpoints, split, tied
from trajlab.runs.tensors import Recording, Tensors, attributes_of
from trajlab.schema import GRADIENTS_FOLDER, PROBE_FILE, RUN_FILE, SNAPSHOTS_VERSION

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
        inside = _with_checkpoints(folder)
        raise MissingData(
            f"checkpoints were looked for in {folder}; there is no file of weights with a step in its name or in "
            f"that of its folder{f', but there are some in {inside}' if inside else ''}. Name a folder of "
            "checkpoint-<step>/model.safetensors, step3000.pt or the like, or say where the step stands with "
            "--step-pattern."
        )
    lives, unusable = read_checkpoints(checkpoints)
    aliases = {} if facts else tied(lives)
    if aliases:
        facts = {"tied": aliases}
        lives = {name: life for name, life in lives.items() if name not in aliases}
    weights, buffers = split(lives, facts.get("parameters"))
    shapes = {name: life.shape for name, life in weights.items()}
    gradients = read_segments(folder / GRADIENTS_FOLDER, shapes)
    return Recording(
        weights=Tensors(weights, attributes_of(facts, weights), unusable),
        gradients=Tensors(gradients, attributes_of(facts, gradients)),
        buffers=Tensors(buffers),
        facts=facts,
        metrics=read_metrics(folder, checkpoints[-1].name),
        probe=_probe(folder / PROBE_FILE, facts),
    )


def _with_checkpoints(folder: Path) -> Path | None:
    """Find checkpoints further down, as in lightning_logs/version_0/checkpoints; behind a URL that is too slow."""
    if is_url(folder):
        return None
    for inside in islice((path for depth in ("*", "*/*", "*/*/*") for path in folder.glob(depth)), 1000):
        with suppress(OSError, DamagedData):
            if inside.is_dir() and step_of(inside.name) is None and has_checkpoints(inside):
                return inside
    return None


def read_facts(folder: Path) -> dict[str, Any]:
    """Read run.json, empty for a folder that is not ours."""
    path = folder / RUN_FILE
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text())
        version = facts["format"]
        wrong = wrong_facts(facts)
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


def wrong_facts(facts: dict[str, Any]) -> list[str]:
    """Name the facts of a run that are not of the kind that they have to be."""
    wrong = [key for key, kind in KINDS.items() if not isinstance(facts.get(key), kind | None)]
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
            f"{path} was to be read as a probe; it holds {', '.join(entries) or 'nothing'} of different numbers of "
            "samples, or no inputs. Restore it, or move it out of the folder."
        )
    for name, entry in entries.items():
        row = int(np.prod(entry.shape[1:], dtype=np.int64)) * entry.stored.itemsize
        offset = (entry.offset or 0) + row * np.arange(entry.shape[0])
        table = Rows((str(path),), np.zeros(len(offset), np.int32), offset, entry.shape[1:], entry.stored)
        tensors[name] = ((f"{_kind(name)}sample", *(f"{name}_{i}" for i in range(len(entry.shape) - 1))), lazy(table))
    known = facts.get("probe") or {}
    kinds_known = {f"{kind}_sha256": sha256 for kind, sha256 in (known.get("kinds") or {}).items()}
    return xr.Dataset(tensors, attrs={"sha256": known.get("sha256", ""), **kinds_known})


def _kind(name: str) -> str:
    """Give what the name of a probe's tensor begins with, nothing for the examples that are looked at usually."""
    return name.removesuffix("inputs").removesuffix("targets")
