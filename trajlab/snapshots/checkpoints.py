"""Folders of safetensors checkpoints, ours or anybody's: which steps are there, and where each tensor's bytes lie."""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from trajlab.errors import DamagedData, MissingData
from trajlab.snapshots.rows import Rows
from trajlab.snapshots.safetensors import Header, read_header
from trajlab.snapshots.tensors import Life, natural

STEP = re.compile(r"(?:global_?step|step|iteration|iter|checkpoint|ckpt)[-_=]?(\d+)", re.IGNORECASE)
NUMBER = re.compile(r"(\d+)")
BUFFER = re.compile(r"(^|\.)(running_mean|running_var|num_batches_tracked)$")


def step_of(name: str) -> int | None:
    """Read the optimizer step out of the name of a checkpoint, None if there is no number.

    >>> [step_of(name) for name in ("checkpoint-500", "step3000", "epoch=3-step=700.safetensors", "model")]
    [500, 3000, 700, None]
    """
    found = STEP.findall(name) or NUMBER.findall(name.removesuffix(".safetensors"))
    return int(found[-1]) if found else None


def find_checkpoints(folder: Path) -> dict[int, list[str]]:
    """Give the safetensors files of each step, sorted by step.

    Raises
    ------
    DamagedData
        Two checkpoints are of the same step.
    """
    found: dict[int, tuple[str, list[str]]] = {}
    for entry in sorted(os.scandir(folder), key=lambda entry: natural(entry.name)):
        if entry.name.startswith("."):
            continue
        files = _files(entry)
        step = step_of(entry.name) if files else None
        if step is None:
            continue
        if step in found:
            raise DamagedData(
                f"one checkpoint a step was expected in {folder}; {found[step][0]} and {entry.name} are both of step "
                f"{step}. Move one of them out of the folder."
            )
        found[step] = entry.name, files
    return {step: found[step][1] for step in sorted(found)}


def _files(entry: os.DirEntry) -> list[str]:
    if not entry.is_dir():
        return [entry.path] if entry.name.endswith(".safetensors") and entry.name != "probe.safetensors" else []
    folder = Path(entry.path)
    index = folder / "model.safetensors.index.json"
    if index.exists():
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        return [str(folder / shard) for shard in shards]
    names = sorted(name for name in os.listdir(folder) if name.endswith(".safetensors"))
    models = [name for name in names if name.startswith("model")] or names
    return [str(folder / name) for name in models] if step_of(entry.name) is not None else []


def read_checkpoints(checkpoints: dict[int, list[str]]) -> tuple[dict[str, Life], dict[str, str]]:
    """Give the life of each tensor in a series of checkpoints, from the files' headers alone.

    Returns
    -------
    lives
        Tensors by name, in natural order; each with the steps that hold it.
    unusable
        Tensors whose shape or type changes on the way, with the reason.
    """
    files: list[str] = []
    seen: dict[str, list[tuple[int, int, int, tuple, np.dtype]]] = {}
    for step, paths in checkpoints.items():
        for path in paths:
            for name, entry in _header(path, step).entries.items():
                seen.setdefault(name, []).append((step, len(files), entry.offset, entry.shape, entry.stored))
            files.append(path)
    lives, unusable = {}, {}
    for name in sorted(seen, key=natural):
        steps, file, offset, shapes, types = zip(*seen[name], strict=True)
        kinds = list(dict.fromkeys(zip(shapes, types, strict=True)))
        if len(kinds) > 1:
            first = next(i for i in range(len(steps)) if (shapes[i], types[i]) != kinds[0])
            unusable[name] = (
                f"{name} was asked for as one array; it is {types[0]} {shapes[0]} at step {steps[0]}, but "
                f"{types[first]} {shapes[first]} at step {steps[first]}. Open the two parts of the run as two folders."
            )
            continue
        table = Rows(tuple(files), np.array(file, np.int32), np.array(offset, np.int64), *kinds[0])
        lives[name] = Life(np.array(steps, np.int64), table[:], kinds[0][0])
    return lives, unusable


def _header(path: str, step: int) -> Header:
    try:
        return read_header(path)
    except DamagedData as error:
        raise DamagedData(f"step {step}: {error}") from error
    except FileNotFoundError as error:
        raise MissingData(
            f"step {step} needs {path}; there is no such file. Restore it, or move the checkpoint out of the folder."
        ) from error


def is_buffer(name: str, life: Life) -> bool:
    """Tell whether a tensor that nobody described is a buffer: running statistics, counters, masks."""
    return bool(BUFFER.search(name)) or life.stored.kind in "iub"


def split(lives: dict[str, Life], parameters: Iterable[str] | None) -> tuple[dict[str, Life], dict[str, Life]]:
    """Part weights from buffers; by the names of the parameters, in their order, where these are known."""
    if parameters is None:
        buffers = {name: life for name, life in lives.items() if is_buffer(name, life)}
        return {name: life for name, life in lives.items() if name not in buffers}, buffers
    weights = {name: lives[name] for name in parameters if name in lives}
    return weights, {name: life for name, life in lives.items() if name not in weights}
