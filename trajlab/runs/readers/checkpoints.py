"""Folders of checkpoints, ours or anybody's: which steps they hold, and in which files."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trajlab.errors import DamagedData, MissingData
from trajlab.runs.disk.remote import concurrently
from trajlab.runs.readers.counters import COUNTERS, as_count
from trajlab.runs.readers.formats import Format, Header, own_formats
from trajlab.runs.readers.layout import is_run, is_snapshot, name_of
from trajlab.runs.readers.lone_checkpoints import is_checkpoint
from trajlab.runs.readers.names import PLAIN, UNITS, Name
from trajlab.runs.readers.network_series import choose_series
from trajlab.runs.readers.step_patterns import compiled, steps_by
from trajlab.runs.readers.steps import Source, Stated, Steps, read_steps
from trajlab.runs.readers.weight_files import read_headers, weight_files
from trajlab.runs.tensors import natural
from trajlab.schema import TRAINER_FILE

RECORDED = r"^checkpoint-(-?\d+)$"
"""Names of the checkpoints in a folder that a Recorder wrote; its other files are not checkpoints."""

TRAINER_STEP = re.compile(rb'"global_step": ?(\d+)')
"""The step in the log of a Trainer, which is written before the rows of the log."""

OWN_RUN = "a run of its own"
"""Why a folder is left aside."""

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
    if step_pattern is None and is_checkpoint(folder, formats):
        return _lone(folder, formats)
    entries = {entry.name: entry for entry in folder.iterdir() if not entry.name.startswith(".")}
    ordered = sorted(entries, key=natural)
    source = _chosen_by(step_pattern, ordered)
    left_aside = {} if step_pattern == RECORDED else _others(entries, source, formats)
    shards = _by_shards(
        [e for e in ordered if _may_be(entries[e], source, formats) and e not in left_aside], source, formats
    )
    shards = {entry: parts for entry, parts in shards.items() if weight_files(entries[entry], formats)}
    names = {entry: name_of(entry, formats) for entry in shards}
    if source is None:
        repeats = _in_other_formats(names, entries, formats)
        left_aside |= dict.fromkeys(repeats, "a file of the same name in another format is preferred")
        names = {entry: name for entry, name in names.items() if entry not in repeats}
    if any(name.numbers_of(*UNITS) for name in names.values()) and source is None:
        weak = {e for e, name in names.items() if entries[e].is_dir() and not name.numbers_of(*UNITS)}
        left_aside |= dict.fromkeys(weak, OWN_RUN)
        names = {entry: name for entry, name in names.items() if entry not in weak}
    read = partial(_stated, entries, shards, names, formats, {})
    left_aside |= choose_series(folder, names, series, lambda entry: isinstance(read(entry), Stated))
    chosen = [entry for entry in names if entry not in left_aside]
    readings = dict(zip(chosen, concurrently(read, chosen, folder), strict=True))
    left_aside |= {entry: reason for entry, reason in readings.items() if isinstance(reason, str)}
    stated = [checkpoint for checkpoint in readings.values() if isinstance(checkpoint, Stated)]
    model = stated if source is not None else _one_model(folder, stated, formats)
    left_aside |= {checkpoint.entry: "it states no step" for checkpoint in stated if checkpoint not in model}
    steps = read_steps(folder, model, source) if model else Steps({}, "", {})
    headers = {checkpoint.entry: dict(checkpoint.headers) for checkpoint in model}
    found = [Checkpoint(step, entry, headers[entry]) for entry, step in steps.steps.items()]
    return Checkpoints(found, steps.source, left_aside | steps.left_aside)


def _lone(folder: Path, formats: Sequence[Format]) -> Checkpoints:
    """Return a folder that is one checkpoint as the only snapshot."""
    name = folder.resolve().name
    reading = _stated({name: folder}, {name: [name]}, {name: name_of(name)}, formats, {}, name)
    if isinstance(reading, str):
        return Checkpoints([], "", {name: reading})
    steps = read_steps(folder, [reading])
    return Checkpoints([Checkpoint(steps.steps[name], name, dict(reading.headers))], steps.source, {})


def _chosen_by(step_pattern: str | None, entries: Sequence[str]) -> Source | None:
    if step_pattern is None:
        return None
    steps, factor = steps_by(compiled(step_pattern), entries)
    return Source(f"{f'{factor} × ' if factor > 1 else ''}the number that the step pattern matches", steps)


def _others(entries: Mapping[str, Path], source: Source | None, formats: Sequence[Format]) -> dict[str, str]:
    """Return what holds weights and cannot be a snapshot: folders that are runs, and what no step pattern matches."""
    others = {}
    for name, entry in entries.items():
        if source is not None and name not in source.steps:
            if weight_files(entry, formats) if not entry.is_dir() else is_run(entry, formats):
                others[name] = "the step pattern does not match its name"
        elif source is None and entry.is_dir() and not is_snapshot(entry, formats) and is_run(entry, formats):
            others[name] = "it states no step" if name_of(name).is_copy else OWN_RUN
    return others


def _may_be(entry: Path, source: Source | None, formats: Sequence[Format]) -> bool:
    """Return whether an entry may be a snapshot: a file or a folder of one step, or whatever the caller chose."""
    if source is not None:
        return entry.name in source.steps
    return not entry.is_dir() or is_snapshot(entry, formats)


def _by_shards(entries: Sequence[str], source: Source | None, formats: Sequence[Format]) -> dict[str, list[str]]:
    """Join the entries that are shards of one checkpoint under the name of the first."""
    first: dict[tuple[str, int], str] = {}
    joined: dict[str, list[str]] = {}
    for entry in entries:
        name = name_of(entry, formats)
        key = name.of_shards, 0 if source is None else source.steps[entry]
        joined.setdefault(first.setdefault(key, entry) if name.of_shards != name.stem else entry, []).append(entry)
    return joined


def _in_other_formats(names: Mapping[str, Name], entries: Mapping[str, Path], formats: Sequence[Format]) -> set[str]:
    """Return the files of which one of the same name lies there in a format that is preferred."""
    rank = {suffix: rank for rank, of in enumerate((*own_formats(), *formats)) for suffix in of.SUFFIXES}
    by_stem: dict[str, list[str]] = {}
    for entry, name in names.items():
        if not entries[entry].is_dir():
            by_stem.setdefault(name.stem, []).append(entry)
    ranked = (sorted(same, key=lambda e: rank.get(e.removeprefix(names[e].stem), 0)) for same in by_stem.values())
    return {entry for same in ranked for entry in same[1:]}


def _stated(
    entries: Mapping[str, Path], shards: Mapping[str, list[str]], names: Mapping[str, Name], formats: Sequence[Format],
    cache: dict[Any, Any], entry: str,
) -> Stated | str:  # fmt: skip
    """Read what a checkpoint states; if it holds no weights, or none that can be read and no step, return that."""
    numbers = names[entry].numbers_of(*UNITS) or names[entry].numbers_of(PLAIN)
    step = numbers[-1].value if numbers else None
    headers: dict[str, Header] = {}
    weightless: dict[str, str] = {}
    try:
        for part in shards[entry]:
            headers |= read_headers(entries[part], step, formats, cache, weightless)
    except (DamagedData, MissingData):
        if numbers or len(names) == 1:
            raise
        return "it cannot be read as weights"
    if not headers:
        return f"it holds {next(iter(weightless.values()), 'no weights')}"
    notes = {key: value for header in headers.values() for key, value in header.metadata.items()}
    counts = {key: as_count(value) for key, value in notes.items() if key.rpartition(".")[2] in COUNTERS}
    counters = {key: count for key, count in counts.items() if count is not None and count >= 0}
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
    return model[:1] if model and len(set(files.values())) == 1 else stated
