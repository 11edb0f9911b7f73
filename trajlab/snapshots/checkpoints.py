"""Folders of checkpoints, ours or anybody's: which steps are there, and where each tensor's bytes lie."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import dask
import dask.array as da
import numpy as np

from trajlab.errors import BadSetting, DamagedData, MissingData
from trajlab.schema import PROBE_FILE
from trajlab.snapshots.remote import concurrently
from trajlab.snapshots.rows import Rows, widened
from trajlab.snapshots.safetensors import Entry, Header, read_header
from trajlab.snapshots.tensors import Life, natural

STEP = re.compile(r"(?:global_?step|step|iteration|iter|checkpoint|ckpt)[-_=]?(\d+)", re.IGNORECASE)
NUMBER = re.compile(r"(\d+)")
BUFFER = re.compile(r"(^|\.)(running_mean|running_var|num_batches_tracked)$")
TORCH_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")
PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""
NOT_WEIGHTS = re.compile(r"^(optimizer|scheduler|scaler|rng_state|training_args|probe|indices|random_states)")


@dataclass(frozen=True)
class Checkpoint:
    """The files of one step, with what their headers say."""

    step: int
    name: str
    headers: dict[str, Header]


def step_of(name: str, pattern: re.Pattern | None = None) -> int | None:
    """Read the optimizer step out of the name of a checkpoint, None if there is no number.

    >>> [step_of(name) for name in ("checkpoint-500", "step3000", "epoch=3-step=700.ckpt", "model")]
    [500, 3000, 700, None]
    """
    if pattern is not None:
        found = pattern.search(name)
        return _as_step(found[1]) if found else None
    stem = name.removesuffix(".safetensors")
    numbers = STEP.findall(stem) or NUMBER.findall(re.sub(r"\.(pth?|ckpt|bin)$", "", stem))
    return _as_step(numbers[-1]) if numbers else None


def _as_step(text: str | None) -> int | None:
    """Give a step that is written out in ASCII digits and fits into 64 bits."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def find_checkpoints(folder: Path, step_pattern: str | None = None) -> list[Checkpoint]:
    """Give the checkpoints in a folder, sorted by step.

    The step stands in the file itself, else in its name or that of its folder.

    Parameters
    ----------
    folder
        The folder.
    step_pattern
        Regular expression whose first group is the step in the name.

    Raises
    ------
    DamagedData
        Two checkpoints are of the same step, or a file is damaged.
    BadSetting
        The pattern is no regular expression with a group.
    """
    pattern = _pattern(step_pattern)
    entries = sorted(folder.iterdir(), key=lambda entry: natural(entry.name))
    found: dict[int, Checkpoint] = {}
    for entry, headers in zip(entries, concurrently(partial(_headers, pattern), entries, folder), strict=True):
        if not headers:
            continue
        named = step_of(entry.name, pattern)
        stated = next((header.metadata["step"] for header in headers.values() if "step" in header.metadata), None)
        stated_step = _as_step(stated) if pattern is None and isinstance(stated, str) else None
        step = named if stated_step is None else stated_step
        if step is None:
            continue
        if step in found:
            raise DamagedData(
                f"one checkpoint a step was expected in {folder}; {found[step].name} and {entry.name} are both of step "
                f"{step}. Move one of them out of the folder, or say where the step stands with --step-pattern."
            )
        found[step] = Checkpoint(step, entry.name, headers)
    return [found[step] for step in sorted(found)]


def has_checkpoints(folder: Path) -> bool:
    """Tell whether a folder holds a checkpoint with a step in its name."""
    return any(step_of(entry.name) is not None and _files(entry) for entry in folder.iterdir())


def _pattern(text: str | None) -> re.Pattern | None:
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise BadSetting(
            f"the step pattern {text!r} was to be used; {error}. Correct the regular expression."
        ) from error
    if pattern.groups < 1:
        raise BadSetting(f"the step pattern {text!r} has no group; put the digits in one, as in 'update(\\d+)'.")
    return pattern


def _headers(pattern: re.Pattern | None, entry: Path) -> dict[str, Header]:
    """Read the headers of what may be a checkpoint, none if it is not."""
    step = step_of(entry.name, pattern)
    if entry.name.startswith(".") or (step is None and (pattern is not None or entry.is_dir())):
        return {}
    return {path: _header(path, step) for path in _files(entry)}


def _files(entry: Path) -> list[str]:
    """Give the files of weights of one checkpoint: a file, or those in a folder."""
    if entry.is_file():
        known = entry.name.endswith((".safetensors", *TORCH_SUFFIXES)) and entry.name != PROBE_FILE
        return [str(entry)] if known and not NOT_WEIGHTS.match(entry.name) else []
    for index in sorted(entry.glob("*.index.json")):
        try:
            return [str(entry / shard) for shard in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedData(
                f"{index} was to be read as the index of a sharded checkpoint; it has no weight_map ({error!r}). "
                "Restore it, or move the checkpoint out of the folder."
            ) from error
    names = sorted(one.name for one in entry.iterdir() if not NOT_WEIGHTS.match(one.name))
    for suffixes in ((".safetensors",), TORCH_SUFFIXES):
        fitting = [name for name in names if name.endswith(suffixes)]
        models = [name for name in fitting if name.startswith(("model", "pytorch_model"))] or fitting
        if models:
            return [str(entry / name) for name in models]
    return []


def _header(path: str, step: int | None) -> Header:
    try:
        if path.endswith(TORCH_SUFFIXES):
            from trajlab.snapshots.torch_files import read_torch

            return read_torch(path)
        return read_header(path)
    except DamagedData as error:
        raise DamagedData(f"step {step}: {error}" if step is not None else str(error)) from error
    except FileNotFoundError as error:
        raise MissingData(
            f"step {step} needs {path}; there is no such file. Restore it, or move the checkpoint out of the folder."
        ) from error


def read_checkpoints(checkpoints: list[Checkpoint]) -> tuple[dict[str, Life], dict[str, str]]:
    """Give the life of each tensor in a series of checkpoints, from the files' headers alone.

    Names lose the prefixes of wrappers, such as ``module.`` and ``_orig_mod.``, if all of them have it.

    Returns
    -------
    lives
        Tensors by name, each with the steps that hold it: in the order of PyTorch's files, which is the network's, and
        in natural order for safetensors, which keep none.
    unusable
        Tensors whose shape or type changes on the way, with the reason.
    """
    files: list[str] = []
    seen: dict[str, list[tuple[int, int, str, Entry]]] = {}
    for checkpoint in checkpoints:
        prefix = common_prefix(name for header in checkpoint.headers.values() for name in header.entries)
        for path, header in checkpoint.headers.items():
            for name, entry in header.entries.items():
                place = seen.setdefault(name.removeprefix(prefix), [])
                if place and place[-1][0] == checkpoint.step:
                    raise DamagedData(
                        f"{name} was expected once at step {checkpoint.step}; it is in {files[place[-1][1]]} and in "
                        f"{path}. Move one of these files out of the folder."
                    )
                place.append((checkpoint.step, len(files), name, entry))
            files.append(path)
    lives, unusable = {}, {}
    in_order = all(path.endswith(TORCH_SUFFIXES) for path in files)
    for name in seen if in_order else sorted(seen, key=natural):
        steps, file, names, entries = zip(*seen[name], strict=True)
        kinds = [(entry.shape, entry.stored) for entry in entries]
        if len(set(kinds)) > 1:
            other = next(i for i, kind in enumerate(kinds) if kind != kinds[0])
            unusable[name] = (
                f"{name} was asked for as one array; it is {kinds[0][1]} {kinds[0][0]} at step {steps[0]}, but "
                f"{kinds[other][1]} {kinds[other][0]} at step {steps[other]}. Open the two parts of the run "
                "as two folders."
            )
            continue
        shape, stored = kinds[0]
        values: Rows | da.Array
        if any(entry.offset is None for entry in entries):
            values = _loaded([files[i] for i in file], names, shape, stored)
        else:
            offset = np.array([entry.offset for entry in entries], np.int64)
            values = Rows(tuple(files), np.array(file, np.int32), offset, shape, stored)[:]
        lives[name] = Life(np.array(steps, np.int64), values, shape, origin=stored)
    return lives, unusable


def common_prefix(names: Iterable[str]) -> str:
    """Give what wrappers put before every name.

    >>> common_prefix(["module._orig_mod.fc.weight", "module._orig_mod.fc.bias"])
    'module._orig_mod.'
    """
    left, prefix = list(names), ""
    while left:
        found = next((p for p in PREFIXES if all(name.startswith(p) for name in left)), None)
        if found is None:
            break
        left, prefix = [name.removeprefix(found) for name in left], prefix + found
    return prefix


def _loaded(paths: list[str], names: tuple[str, ...], shape: tuple[int, ...], stored: np.dtype) -> da.Array:
    """Give tensors that can not be mapped as a dask array that loads each file when its step is asked for."""
    from trajlab.snapshots.torch_files import load_tensor

    load = dask.delayed(load_tensor, pure=True)
    rows = [
        da.from_delayed(load(path, name), shape, dtype=widened(stored)) for path, name in zip(paths, names, strict=True)
    ]
    return da.stack(rows)


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
