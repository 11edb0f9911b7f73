"""Folders of checkpoints, ours or anybody's: which steps they hold, and in which files."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trajlab.errors import DamagedData, MissingData
from trajlab.runs.disk.paths import is_url
from trajlab.runs.disk.remote import concurrently
from trajlab.runs.readers.counters import COUNTERS, as_count
from trajlab.runs.readers.formats import Format, Header, format_of, own_formats
from trajlab.runs.readers.layout import is_one_model, is_run, is_snapshot, name_of, weight_files
from trajlab.runs.readers.names import PLAIN, SHARDS, UNITS, Name
from trajlab.runs.readers.network_series import choose_series
from trajlab.runs.readers.step_patterns import compiled, steps_by
from trajlab.runs.readers.steps import Source, Stated, Steps, read_steps
from trajlab.runs.tensors import natural
from trajlab.schema import TRAINER_FILE

RECORDED = r"^checkpoint-(-?\d+)$"
"""Names of the checkpoints in a folder that a Recorder wrote; its other files are not checkpoints."""

TRAINER_STEP = re.compile(rb'"global_step": ?(\d+)')
"""The step in the log of a Trainer, which is written before the rows of the log."""

START_OF_LOG = 65536
"""Bytes of a Trainer's log that are searched for the step."""


@dataclass(frozen=True)
class Checkpoint:
    """The files of one step, by path, with their headers."""

    step: int
    name: str
    headers: dict[str, Header]


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a folder.

    Attributes
    ----------
    snapshots
        The checkpoints by rising step.
    source
        How steps were read, such as "epoch in the name".
    left_aside
        Files and folders of weights that are not among them, with the reason.
    """

    snapshots: list[Checkpoint]
    source: str
    left_aside: dict[str, str]


def find_checkpoints(
    folder: Path, step_pattern: str | None = None, formats: Sequence[Format] = (), series: str | None = None
) -> Checkpoints:
    """Find the checkpoints of one network in a folder, sorted by step.

    `trajlab.runs.readers.steps` says how steps are read. A checkpoint that is stored a second time, as ``last.ckpt``,
    counts once. A folder without steps that holds one model is one snapshot.

    Parameters
    ----------
    folder
        The folder.
    step_pattern
        Regular expression whose first group is the step in the name; what it does not match is left aside.
    formats
        Formats of files besides our own.
    series
        Which checkpoints to take, where the folder holds several networks: the name that they share, or a regular
        expression that their names match.

    Raises
    ------
    AmbiguousData
        The folder holds several networks, or nothing tells the steps for certain.
    DamagedData
        Two checkpoints are of the same step, or a file is damaged.
    BadSetting
        The pattern is not a regular expression with a group.
    MissingData
        No name is of the series.
    """
    entries = {entry.name: entry for entry in folder.iterdir() if not entry.name.startswith(".")}
    ordered = sorted(entries, key=natural)
    source = _chosen_by(step_pattern, ordered)
    files, left_aside = {}, {}
    for entry in ordered:
        if source is None or entry in source.steps:
            files[entry] = weight_files(entries[entry], formats) if _may_be(entries[entry], source, formats) else []
        elif step_pattern != RECORDED and _holds_weights(entries[entry], formats):
            left_aside[entry] = "the step pattern does not match its name"
        if source is None and not files[entry] and entries[entry].is_dir() and is_run(entries[entry], formats):
            left_aside[entry] = "a run of its own"
    files = _by_shards({entry: of_entry for entry, of_entry in files.items() if of_entry}, formats)
    names = {entry: name_of(entry, formats) for entry in files}
    others = choose_series(folder, names, series)
    chosen = [entry for entry in files if entry not in others]
    read = partial(_stated, entries, files, names, formats, {})
    found = dict(zip(chosen, concurrently(read, chosen, folder), strict=True))
    others |= {entry: one for entry, one in found.items() if isinstance(one, str)}
    stated = [one for one in found.values() if isinstance(one, Stated)]
    if source is None:
        model = _one_model(folder, stated, formats)
        others |= {one.entry: "it states no step" for one in stated if one not in model}
        stated = model
    steps = read_steps(folder, stated, source) if stated else Steps({}, "", {})
    headers = {one.entry: dict(zip(files[one.entry], one.headers, strict=True)) for one in stated}
    snapshots = [Checkpoint(step, entry, headers[entry]) for entry, step in steps.steps.items()]
    return Checkpoints(snapshots, steps.source, left_aside | others | steps.left_aside)


def _chosen_by(step_pattern: str | None, entries: Sequence[str]) -> Source | None:
    if step_pattern is None:
        return None
    steps, factor = steps_by(compiled(step_pattern), entries)
    return Source(f"{f'{factor} × ' if factor > 1 else ''}the number that the step pattern matches", steps)


def _may_be(entry: Path, source: Source | None, formats: Sequence[Format]) -> bool:
    """Return whether an entry may be a snapshot: a file, or a folder that holds one or that the caller chose."""
    return source is not None or not entry.is_dir() or is_snapshot(entry, formats)


def _holds_weights(entry: Path, formats: Sequence[Format]) -> bool:
    if entry.is_dir():
        return is_snapshot(entry, formats) or is_run(entry, formats)
    return bool(weight_files(entry, formats))


def _by_shards(files: dict[str, list[str]], formats: Sequence[Format]) -> dict[str, list[str]]:
    """Join the entries that are shards of one checkpoint under the name of the first."""
    first: dict[str, str] = {}
    joined: dict[str, list[str]] = {}
    for entry, of_entry in files.items():
        stem = name_of(entry, formats).stem
        name = first.setdefault(SHARDS.sub("*", stem), entry) if SHARDS.search(stem) else entry
        joined.setdefault(name, []).extend(of_entry)
    return joined


def _stated(
    entries: dict[str, Path], files: dict[str, list[str]], names: dict[str, Name], formats: Sequence[Format],
    cache: dict[Any, Any], entry: str,
) -> Stated | str:  # fmt: skip
    """Read the headers of a checkpoint; if it has no number in the name and holds no weights, return that."""
    numbers = names[entry].numbers_of(*UNITS) or names[entry].numbers_of(PLAIN)
    step = numbers[-1].value if numbers else None
    try:
        headers = [_header(path, step, formats, cache) for path in files[entry]]
    except DamagedData:
        if numbers or len(files) == 1:
            raise
        return "it cannot be read as weights"
    notes = {key: value for header in headers for key, value in header.metadata.items()}
    counts = {key: as_count(value) for key, value in notes.items() if key.rpartition(".")[2] in COUNTERS}
    counters = {key: count for key, count in counts.items() if count is not None}
    return Stated(entry, names[entry], _logged(entries[entry]) | counters, headers)


def _logged(entry: Path) -> dict[str, int]:
    """Return the step in the log that Hugging Face's Trainer keeps in each of its checkpoints."""
    with suppress(OSError):
        if entry.is_dir() and (entry / TRAINER_FILE).is_file():
            with (entry / TRAINER_FILE).open("rb") as file:
                match = TRAINER_STEP.search(file.read(START_OF_LOG))
            return {"global_step": int(match[1])} if match else {}
    return {}


def _one_model(folder: Path, stated: list[Stated], formats: Sequence[Format]) -> list[Stated]:
    """Take, of checkpoints without any step, the one that transformers would load, if there is one."""
    if len(stated) < 2 or any(one.counters or one.name.numbers_of(*UNITS, PLAIN) for one in stated):
        return stated
    files = weight_files(folder, formats)
    model = [one for one in stated if str(folder / one.entry) in files]
    return model[:1] if model and is_one_model(files, formats) else stated


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
