"""Folders of checkpoints, ours or anybody's: which steps are there, and where each tensor's bytes lie."""

import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trajlab.errors import BadSetting, DamagedData, MissingData
from trajlab.runs.disk.paths import is_url
from trajlab.runs.disk.remote import concurrently
from trajlab.runs.readers.safetensors import Header, Known, read_header
from trajlab.runs.tensors import natural
from trajlab.schema import PROBE_FILE

STEP = re.compile(r"(?:global_?step|step|iteration|iter|checkpoint|ckpt)[-_=]?(\d+)", re.IGNORECASE)
NUMBER = re.compile(r"(\d+)")
TORCH_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")
NOT_WEIGHTS = re.compile(
    r"^(optimizer|scheduler|scaler|sampler|rng_state|training_args|probe|indices|random_states)|optim_states\."
)
INDEX = re.compile(r"\.(safetensors|bin)\.index\.json$")
COPY = re.compile(r"^(last|latest|best|final)(?![a-z])", re.IGNORECASE)
"""Names under which trainers keep a checkpoint a second time."""


@dataclass(frozen=True)
class Checkpoint:
    """The files of one step, by path, with what their headers say."""

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

    The step stands in the file itself, else in its name or that of its folder. Of a checkpoint that is kept a second
    time, as ``last.ckpt``, only the other is taken.

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
    read = partial(_headers, pattern, {})
    for entry, headers in zip(entries, concurrently(read, entries, folder), strict=True):
        if not headers:
            continue
        named = step_of(entry.name, pattern)
        stated = next((header.metadata["step"] for header in headers.values() if "step" in header.metadata), None)
        stated_step = _as_step(stated) if pattern is None else None
        step = named if stated_step is None else stated_step
        if step is None or (step in found and COPY.match(entry.name)):
            continue
        if step in found and not COPY.match(found[step].name):
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


def _headers(pattern: re.Pattern | None, known: Known, entry: Path) -> dict[str, Header]:
    """Read the headers of what may be a checkpoint, none if it is not."""
    step = step_of(entry.name, pattern)
    if entry.name.startswith(".") or (step is None and (pattern is not None or entry.is_dir())):
        return {}
    return {path: _header(path, step, known) for path in _files(entry)}


def _files(entry: Path) -> list[str]:
    """Give the files of weights of one checkpoint: a file, or those in a folder."""
    folder = entry.is_dir()
    if not folder and (entry.is_file() or entry.is_symlink()):
        known = entry.name.endswith((".safetensors", *TORCH_SUFFIXES)) and entry.name != PROBE_FILE
        return [str(entry)] if known and not NOT_WEIGHTS.search(entry.name) else []
    names = sorted(one.name for one in entry.iterdir() if not NOT_WEIGHTS.search(one.name)) if folder else []
    for index in (entry / name for name in names if INDEX.search(name)):
        try:
            return [str(entry / shard) for shard in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedData(
                f"{index} was to be read as the index of a sharded checkpoint; it has no weight_map ({error!r}). "
                "Restore it, or move the checkpoint out of the folder."
            ) from error
    for suffixes in ((".safetensors",), TORCH_SUFFIXES):
        fitting = [name for name in names if name.endswith(suffixes)]
        models = [name for name in fitting if name.startswith(("model", "pytorch_model"))] or fitting
        if models:
            return [str(entry / name) for name in models]
    return []


def _header(path: str, step: int | None, known: Known) -> Header:
    try:
        if path.endswith(TORCH_SUFFIXES):
            from trajlab.runs.readers.torch_files import read_torch

            return read_torch(path)
        return read_header(path, known)
    except DamagedData as error:
        raise DamagedData(f"step {step}: {error}" if step is not None else str(error)) from error
    except OSError as error:
        if is_url(path) and not isinstance(error, FileNotFoundError):
            raise
        raise MissingData(
            f"step {step} needs {path}; {error.strerror or error}. Restore it, or move the checkpoint out of the "
            "folder."
        ) from error
