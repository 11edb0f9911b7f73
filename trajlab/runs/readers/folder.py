"""Read a folder of checkpoints: one that a Recorder wrote, or any other."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, get_args, get_origin

import numpy as np
import xarray as xr

from trajlab.errors import DamagedData, MissingData
from trajlab.runs.disk.documents import parse_json
from trajlab.runs.disk.inside import check_inside, check_tree
from trajlab.runs.disk.lazy import lazy
from trajlab.runs.disk.paths import is_url
from trajlab.runs.disk.reading import reading
from trajlab.runs.disk.remote import read_bytes
from trajlab.runs.disk.rows import Rows
from trajlab.runs.readers.checkpoints import RECORDED, Checkpoint, find_checkpoints
from trajlab.runs.readers.foreign_files import describe_foreign
from trajlab.runs.readers.formats import Format
from trajlab.runs.readers.formats.safetensors import read_header
from trajlab.runs.readers.layout import has_steps, is_snapshot
from trajlab.runs.readers.metrics import read_metrics
from trajlab.runs.readers.optimizer_states import StoredOptimizer, is_in_order
from trajlab.runs.readers.segments import read_segments
from trajlab.runs.readers.series import read_checkpoints, split, tied, unanalyzed
from trajlab.runs.readers.tensor_names import has_network
from trajlab.runs.readers.trainer_facts import trainer_facts
from trajlab.runs.tensors import Tensors, attributes_of
from trajlab.runs.trajectory import Trajectory
from trajlab.runs.trust import model_description
from trajlab.schema import (
    ADAPTER_FILE,
    CONFIG_FILE,
    GRADIENTS_FOLDER,
    METRICS_FILE,
    PROBE_FILE,
    RUN_FILE,
    SNAPSHOTS_VERSION,
    TRAINER_FILE,
)

TEXTS = dict[str, str]
TYPES: dict[str, Any] = {
    "parameters": list[str], "not_recorded": list[str], "buffers": list[str], "modules": TEXTS, "tied": TEXTS,
    "left_out": TEXTS, "describe": dict[str, object], "probe": {"sha256": str, "kinds": TEXTS},
    "steps": {"source": str, "left_aside": TEXTS}, "frozen": list[str], "config": dict[str, object],
    "adapter_config": dict[str, object], "adapters": dict[str, dict],
}  # fmt: skip
"""Types of entries of run.json; of mappings with these keys, those of each."""

MOST = 4
"""Most files that an error names."""


def read_folder(
    folder: Path,
    step_pattern: str | None = None,
    formats: Sequence[Format] = (),
    series: str | None = None,
    *,
    key: str | None = None,
    trust: bool = False,
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
        Key of the networks to read, of files or folders with several; checkpoints without it are left aside.
    trust
        Follow symbolic links that leave the folder.

    Raises
    ------
    UntrustedCode
        A file is a link that leaves the folder.
    BadSetting
        No network has the key.
    MissingData
        The folder holds no checkpoint.
    DamagedData
        A file is damaged or of another version, or two checkpoints are of one step.
    AmbiguousData
        Nothing tells the steps, or the network, for certain.
    """
    for name in () if trust else (RUN_FILE, METRICS_FILE, PROBE_FILE):
        check_inside(folder / name, folder)
    facts = read_facts(folder)
    listing = find_checkpoints(
        folder, RECORDED if facts else step_pattern, formats, None if facts else series, trust=trust
    )
    checkpoints, without_network = _with_network(listing.snapshots, key)
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
        facts = {"steps": {"source": listing.source, "left_aside": listing.left_aside | without_network}}
        if not trust:
            check_inside(folder / checkpoints[-1].name / TRAINER_FILE, folder)
        facts |= _config(folder, checkpoints[-1].name, CONFIG_FILE, "config", "model_type", trust)
        facts |= _config(folder, checkpoints[-1].name, ADAPTER_FILE, "adapter_config", "peft_type", trust)
        if said := trainer_facts(folder, checkpoints[-1].name, facts.get("config", {})):
            facts["describe"] = said
    if aliases:
        facts["tied"] = aliases
        tensors = {name: tensor for name, tensor in tensors.items() if name not in aliases}
    weights, buffers = split(tensors, facts.get("parameters"))
    left_out |= facts.get("left_out", {})
    if "parameters" not in facts:
        left_out |= {name: reason for name, tensor in buffers.items() if (reason := unanalyzed(name, tensor))}
    left_out |= dict.fromkeys(facts.get("not_recorded", ()), "not recorded, by choice of the Recorder's parameters")
    shapes = {name: tensor.shape for name, tensor in weights.items()}
    check_tree(folder / GRADIENTS_FOLDER, folder, trust=trust)
    gradients = read_segments(folder / GRADIENTS_FOLDER, shapes)
    return Trajectory(
        Tensors(weights, attributes_of(facts, weights), unusable, left_out),
        Tensors(gradients, attributes_of(facts, gradients, weights)),
        Tensors(buffers),
        metrics=read_metrics(folder, checkpoints[-1].name),
        probe=_probe(folder / PROBE_FILE, facts),
        facts=facts,
        source=str(folder),
        optimizer=StoredOptimizer(folder, checkpoints, "parameters" in facts or is_in_order(checkpoints), trust),
    )


def _with_network(checkpoints: list[Checkpoint], key: str | None) -> tuple[list[Checkpoint], dict[str, str]]:
    """Return the checkpoints that have a network of a key, and why the others are left aside; all if none has it."""
    if key is None:
        return checkpoints, {}
    lacking = {c.name: f"it has no network {key!r}" for c in checkpoints if not has_network(c.headers.values(), key)}
    if len(lacking) == len(checkpoints):
        return checkpoints, {}
    return [c for c in checkpoints if c.name not in lacking], lacking


def _with_checkpoints(folder: Path, formats: Sequence[Format]) -> Path | None:
    """Find a folder of checkpoints further down, as lightning_logs/version_0/checkpoints; too slow behind a URL."""
    if is_url(folder):
        return None
    for inside in islice((path for depth in ("*", "*/*", "*/*/*") for path in folder.glob(depth)), 1000):
        with suppress(OSError, DamagedData):
            if inside.is_dir() and not is_snapshot(inside, formats) and has_steps(inside, formats):
                return inside
    return None


def _config(folder: Path, last: str, file: str, fact: str, entry: str, trust: bool) -> dict[str, Any]:
    """Return settings in a file beside the weights as a fact; empty where there is none with an entry."""
    for path in (folder / last / file, folder / file, folder.parent / file):
        if path.parent == folder.parent and not folder.is_file():
            continue
        if not trust:
            check_inside(path, path.parent if path.parent == folder.parent else folder)
        with suppress(OSError, ValueError):
            config = parse_json(read_bytes(path)) if path.is_file() else None
            if isinstance(config, dict) and entry in config:
                return {fact: config}
    return {}


def read_facts(folder: Path) -> dict[str, Any]:
    """Read run.json; empty where there is none."""
    path = folder / RUN_FILE
    if not path.is_file():
        return {}
    with reading(path, "restore it, or remove it to open the folder as plain checkpoints"):
        facts = parse_json(read_bytes(path))
        if not isinstance(facts, dict) or "format" not in facts:
            raise ValueError("it is not a JSON object with a format")
        if facts["format"] != SNAPSHOTS_VERSION:
            raise DamagedData(
                f"cannot read {path}: its format is {facts['format']!r:.100}, this trajlab reads {SNAPSHOTS_VERSION}; "
                "open it with the trajlab that wrote it"
            )
        check_facts(facts)
    return {key: value for key, value in facts.items() if key not in TYPES or value is not None}


def check_facts(facts: Any) -> None:
    """Raise ValueError if an entry of run.json has the wrong type."""
    if not isinstance(facts, dict):
        raise ValueError(f"its facts of the run are {facts!r:.100}, not a mapping")
    for key, kind in TYPES.items():
        if not _fits(facts.get(key), kind):
            raise ValueError(f"its entry {key} has the wrong type: {facts[key]!r:.100}")
    model = model_description(facts)
    if model is not None and not isinstance(model.get("arguments") or {}, dict):
        raise ValueError(f"the arguments of the model in its entry describe are {model['arguments']!r:.100}")


def _fits(value: Any, kind: Any) -> bool:
    """Return whether a value is None or of a type: one of Python, of its items, or of each of its keys."""
    if isinstance(kind, dict):
        return value is None or isinstance(value, dict) and all(_fits(value.get(key), kind[key]) for key in kind)
    if value is None or not get_args(kind):
        return value is None or isinstance(value, kind)
    items = value.values() if isinstance(value, dict) else value
    return isinstance(value, get_origin(kind)) and all(isinstance(item, get_args(kind)[-1]) for item in items)


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
