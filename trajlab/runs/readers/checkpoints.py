"""Folders of checkpoints, ours or anybody's: which steps they hold, and in which files."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trajlab.errors import BadSetting, DamagedData
from trajlab.runs.disk.remote import concurrently
from trajlab.runs.readers.formats import Format, Header, own_formats
from trajlab.runs.readers.weight_files import describe_weightless, read_headers, weight_files
from trajlab.runs.tensors import natural

STEP = re.compile(r"(?:global_?step|step|iteration|iter|checkpoint|ckpt)[-_=]?(\d+)", re.IGNORECASE)
NUMBER = re.compile(r"(\d+)")
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
    weightless: dict[str, str] = {}
    read = partial(_headers, pattern, formats, {}, weightless)
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
    if not checkpoints and weightless:
        raise DamagedData(
            f"cannot find weights in {folder}: {describe_weightless(folder, weightless)}; save a state_dict, alone or "
            "under a key such as model"
        )
    return [checkpoints[step] for step in sorted(checkpoints)]


def has_checkpoints(folder: Path, formats: Sequence[Format] = ()) -> bool:
    """Return whether a folder holds a checkpoint with a step in its name."""
    return any(
        step_of(entry.name, None, formats) is not None and weight_files(entry, formats) for entry in folder.iterdir()
    )


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
    pattern: re.Pattern | None,
    formats: Sequence[Format],
    cache: dict[Any, Any],
    weightless: dict[str, str],
    entry: Path,
) -> dict[str, Header]:
    """Read the headers of a checkpoint; none if the entry is not one."""
    step = step_of(entry.name, pattern, formats)
    if entry.name.startswith(".") or (step is None and (pattern is not None or entry.is_dir())):
        return {}
    return read_headers(entry, step, formats, cache, weightless)
