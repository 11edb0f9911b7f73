"""Folders of checkpoints, ours or anybody's: which steps they hold, and in which files."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trajlab.errors import BadSetting, DamagedData, MissingData
from trajlab.runs.disk.paths import is_url
from trajlab.runs.disk.remote import concurrently
from trajlab.runs.readers.formats import Format, Header, format_of, own_formats
from trajlab.runs.tensors import natural

STEP = re.compile(r"(?:global_?step|step|iteration|iter|checkpoint|ckpt)[-_=]?(\d+)", re.IGNORECASE)
NUMBER = re.compile(r"(\d+)")
NOT_WEIGHTS = re.compile(
    r"^(optimizer|scheduler|scaler|sampler|rng_state|training_args|probe|indices|random_states)|optim_states\."
)
INDEX_SUFFIX = ".index.json"
"""The index of a sharded checkpoint is named as a file of its format, and then so."""

COPY = re.compile(r"^(last|latest|best|final)(?![a-z])", re.IGNORECASE)
"""Names under which trainers store a checkpoint a second time."""


@dataclass(frozen=True)
class Checkpoint:
    """The files of one step, by path, with their headers."""

    step: int
    name: str
    headers: dict[str, Header]


def step_of(name: str, pattern: re.Pattern | None = None, formats: Sequence[Format] = ()) -> int | None:
    """Read the optimizer step out of the name of a checkpoint, None if there is no number.

    Parameters
    ----------
    name
        The name of the file or folder.
    pattern
        Its first group is the step.
    formats
        Formats of files besides our own.

    Examples
    --------
    >>> [step_of(name) for name in ("checkpoint-500", "step3000", "epoch=3-step=700.ckpt", "model")]
    [500, 3000, 700, None]
    """
    if pattern is not None:
        match = pattern.search(name)
        return _as_step(match[1]) if match else None
    suffixes = (suffix for one in (*own_formats(), *formats) for suffix in one.SUFFIXES)
    stem = next((name.removesuffix(suffix) for suffix in suffixes if name.endswith(suffix)), name)
    numbers = STEP.findall(stem) or NUMBER.findall(stem)
    return _as_step(numbers[-1]) if numbers else None


def _as_step(text: str | None) -> int | None:
    """Return a step that is written in ASCII digits and fits into 64 bits."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def find_checkpoints(folder: Path, step_pattern: str | None = None, formats: Sequence[Format] = ()) -> list[Checkpoint]:
    """Find the checkpoints in a folder, sorted by step.

    The step is the one stated in the file, else the one in its name or that of its folder. A checkpoint that is stored
    a second time, as ``last.ckpt``, counts once.

    Parameters
    ----------
    folder
        The folder.
    step_pattern
        Regular expression whose first group is the step in the name.
    formats
        Formats of files besides our own.

    Raises
    ------
    DamagedData
        Two checkpoints are of the same step, or a file is damaged.
    BadSetting
        The pattern is not a regular expression with a group.
    """
    pattern = _pattern(step_pattern)
    entries = sorted(folder.iterdir(), key=lambda entry: natural(entry.name))
    checkpoints: dict[int, Checkpoint] = {}
    read = partial(_headers, pattern, formats, {})
    for entry, headers in zip(entries, concurrently(read, entries, folder), strict=True):
        if not headers:
            continue
        stated = next((header.metadata["step"] for header in headers.values() if "step" in header.metadata), None)
        step = _as_step(stated) if pattern is None else None
        if step is None:
            step = step_of(entry.name, pattern, formats)
        if step is None or (step in checkpoints and COPY.match(entry.name)):
            continue
        if step in checkpoints and not COPY.match(checkpoints[step].name):
            raise DamagedData(
                f"cannot tell which checkpoint of {folder} is step {step}: both {checkpoints[step].name} and "
                f"{entry.name} are; move one of them out of the folder, or say where the step stands in the name with "
                "--step-pattern"
            )
        checkpoints[step] = Checkpoint(step, entry.name, headers)
    return [checkpoints[step] for step in sorted(checkpoints)]


def has_checkpoints(folder: Path, formats: Sequence[Format] = ()) -> bool:
    """Return whether a folder holds a checkpoint with a step in its name."""
    return any(step_of(entry.name, None, formats) is not None and _files(entry, formats) for entry in folder.iterdir())


def _pattern(text: str | None) -> re.Pattern | None:
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise BadSetting(f"cannot use the step pattern {text!r}: {error}; correct the regular expression") from error
    if pattern.groups < 1:
        raise BadSetting(
            f"cannot use the step pattern {text!r}: it has no group; put the digits in one, as in 'update(\\d+)'"
        )
    return pattern


def _headers(
    pattern: re.Pattern | None, formats: Sequence[Format], cache: dict[Any, Any], entry: Path
) -> dict[str, Header]:
    """Read the headers of a checkpoint; none if the entry is not one."""
    step = step_of(entry.name, pattern, formats)
    if entry.name.startswith(".") or (step is None and (pattern is not None or entry.is_dir())):
        return {}
    return {path: _header(path, step, formats, cache) for path in _files(entry, formats)}


def _files(entry: Path, formats: Sequence[Format]) -> list[str]:
    """Return the files of weights of one checkpoint: the entry itself, or those in it if it is a folder."""
    formats = (*own_formats(), *formats)
    if not entry.is_dir():
        is_file = entry.is_file() or entry.is_symlink()
        weights = format_of(entry.name, formats) is not None and not NOT_WEIGHTS.search(entry.name)
        return [str(entry)] if is_file and weights else []
    names = sorted(file.name for file in entry.iterdir() if not NOT_WEIGHTS.search(file.name))
    for name in names:
        if name.endswith(INDEX_SUFFIX) and format_of(name.removesuffix(INDEX_SUFFIX), formats) is not None:
            return [str(entry / shard) for shard in _shards(entry / name)]
    for one in formats:
        files = [name for name in names if name.endswith(one.SUFFIXES)]
        models = [name for name in files if name.startswith(("model", "pytorch_model"))] or files
        if models:
            return [str(entry / name) for name in models]
    return []


def _shards(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedData(
            f"cannot read the index of a sharded checkpoint, {index}: it has no weight_map ({error!r}); restore it, or "
            "move the checkpoint out of the folder"
        ) from error


def _header(path: str, step: int | None, formats: Sequence[Format], cache: dict[Any, Any]) -> Header:
    reader = format_of(path, (*own_formats(), *formats))
    try:
        if reader is None:
            raise DamagedData(f"cannot read {path}, which the index of its checkpoint names: its format is unknown")
        return reader.read_header(path, cache.setdefault(reader.SUFFIXES, {}))
    except DamagedData as error:
        raise DamagedData(f"step {step}: {error}" if step is not None else str(error)) from error
    except OSError as error:
        if is_url(path) and not isinstance(error, FileNotFoundError):
            raise
        raise MissingData(
            f"cannot read {path} of step {step}: {error.strerror or error}; restore it, or move the checkpoint out of "
            "the folder"
        ) from error
