"""Folders of checkpoints, ours or anybody's: which steps they hold, and in which files."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trajlab.errors import DamagedData, MissingData, UntrustedCode
from trajlab.runs.disk.remote import concurrently
from trajlab.runs.patterns import compile_pattern
from trajlab.runs.readers.candidates import Candidates, find_candidates
from trajlab.runs.readers.counters import COUNTERS, as_count
from trajlab.runs.readers.formats import Format, Header
from trajlab.runs.readers.layout import name_of
from trajlab.runs.readers.lone_checkpoints import is_checkpoint
from trajlab.runs.readers.name_words import PLAIN, UNITS
from trajlab.runs.readers.network_series import choose_series
from trajlab.runs.readers.step_evidence import Source, Stated
from trajlab.runs.readers.step_patterns import steps_by
from trajlab.runs.readers.steps import Steps, read_steps
from trajlab.runs.readers.weight_files import read_headers, weight_files
from trajlab.schema import TRAINER_FILE

RECORDED = r"^checkpoint-(-?\d+)$"
"""Names of the checkpoints in a folder that a Recorder wrote; its other files are not checkpoints."""

TRAINER_STEP = re.compile(rb'"global_step": ?([0-9]{1,18})(?![0-9])')
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
    folder: Path, step_pattern: str | None = None, formats: Sequence[Format] = (), series: str | None = None,
    *, trust: bool = False,
) -> Checkpoints:  # fmt: skip
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
    trust
        Follow symbolic links that leave the folder.

    Raises
    ------
    UntrustedCode
        A checkpoint is a link that leaves the folder.
    AmbiguousData
        The folder holds several networks, or nothing tells the steps for certain.
    DamagedData
        Two checkpoints are of the same step, or a file is damaged.
    BadSetting
        The pattern is not a regular expression with a group.
    MissingData
        No name is of the series.
    """
    if step_pattern is None and (folder.is_file() or is_checkpoint(folder, formats)):
        root = folder.parent if folder.is_file() else folder
        return _lone(folder, formats, None if trust else root)
    source = _chosen_by(step_pattern, [entry.name for entry in folder.iterdir()])
    candidates = find_candidates(folder, source, formats, name_others=step_pattern != RECORDED)
    names, left_aside = candidates.names, candidates.left_aside
    read = partial(_stated, candidates, formats, {}, None if trust else folder)
    left_aside |= choose_series(folder, names, series, lambda entry: isinstance(read(entry), Stated))
    chosen = [entry for entry in names if entry not in left_aside]
    readings = dict(zip(chosen, concurrently(read, chosen, folder), strict=True))
    left_aside |= {entry: reason for entry, reason in readings.items() if isinstance(reason, str)}
    stated = [checkpoint for checkpoint in readings.values() if isinstance(checkpoint, Stated)]
    model = stated if source is not None else _one_model(folder, stated, formats)
    kept = {checkpoint.entry for checkpoint in model}
    left_aside |= {checkpoint.entry: "it states no step" for checkpoint in stated if checkpoint.entry not in kept}
    steps = read_steps(folder, model, source) if model else Steps({}, "", {})
    headers = {checkpoint.entry: dict(checkpoint.headers) for checkpoint in model}
    snapshots = [Checkpoint(step, entry, headers[entry]) for entry, step in steps.steps.items()]
    return Checkpoints(snapshots, steps.source, left_aside | steps.left_aside)


def _lone(folder: Path, formats: Sequence[Format], root: Path | None) -> Checkpoints:
    """Return a folder that is one checkpoint as the only snapshot."""
    name = folder.resolve().name
    candidates = Candidates({name: [folder]}, {name: name_of(name)}, {})
    reading = _stated(candidates, formats, {}, root, name)
    if isinstance(reading, str):
        return Checkpoints([], "", {name: reading})
    steps = read_steps(folder, [reading])
    return Checkpoints([Checkpoint(steps.steps[name], name, dict(reading.headers))], steps.source, {})


def _chosen_by(step_pattern: str | None, entries: Sequence[str]) -> Source | None:
    if step_pattern is None:
        return None
    steps, factor = steps_by(compile_pattern(step_pattern, "step pattern", groups=1), entries)
    return Source(f"{f'{factor} × ' if factor > 1 else ''}the number that the step pattern matches", steps)


def _stated(
    candidates: Candidates, formats: Sequence[Format], cache: dict[Any, Any], root: Path | None, entry: str
) -> Stated | str:
    """Read what a checkpoint states; if it holds no weights, or none that can be read and no step, return that."""
    name, entries = candidates.names[entry], candidates.entries[entry]
    numbers = name.numbers_of(*UNITS) or name.numbers_of(PLAIN)
    step = numbers[-1].value if numbers else None
    headers: dict[str, Header] = {}
    weightless: dict[str, str] = {}
    try:
        for path in entries:
            headers |= read_headers(path, step, formats, cache, weightless, root)
    except UntrustedCode:
        raise
    except (DamagedData, MissingData):
        if numbers or len(candidates.names) == 1:
            raise
        return "it cannot be read as weights"
    if not headers:
        return f"it holds {next(iter(weightless.values()), 'no weights')}"
    notes = {key: value for header in headers.values() for key, value in header.metadata.items()}
    counts = {key: as_count(value) for key, value in notes.items() if key.rpartition(".")[2] in COUNTERS}
    counters = {key: count for key, count in counts.items() if count is not None and count >= 0}
    return Stated(entry, name, _logged(entries[0]) | counters, headers)


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
    if len(stated) < 2 or any(
        checkpoint.counters or checkpoint.name.numbers_of(*UNITS, PLAIN) for checkpoint in stated
    ):
        return stated
    files = weight_files(folder, formats)
    model = [checkpoint for checkpoint in stated if str(folder / checkpoint.entry) in files]
    return model[:1] if model and len(set(files.values())) == 1 else stated
