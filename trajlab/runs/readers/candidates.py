"""Files and folders that may be checkpoints of a run, and those beside it that hold weights and cannot be."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trajlab.runs.readers.formats import Format, own_formats
from trajlab.runs.readers.layout import is_run, is_snapshot, name_of
from trajlab.runs.readers.name_words import UNITS
from trajlab.runs.readers.names import Name
from trajlab.runs.readers.step_evidence import Source
from trajlab.runs.readers.weight_files import weight_files
from trajlab.runs.tensors import natural

OWN_RUN = "a run of its own"
"""Why a folder is left aside."""


@dataclass(frozen=True)
class Candidates:
    """Checkpoints that a folder may hold.

    Attributes
    ----------
    entries
        The files or the folder of each, by the name of the first; several are shards.
    names
        These names, read.
    left_aside
        Other files and folders of weights, with the reason.
    """

    entries: dict[str, list[Path]]
    names: dict[str, Name]
    left_aside: dict[str, str]


def find_candidates(
    folder: Path, source: Source | None, formats: Sequence[Format], *, name_others: bool = True
) -> Candidates:
    """Find what may be a checkpoint in a folder: files of weights, and folders of one step.

    Parameters
    ----------
    folder
        The folder.
    source
        The reading of steps that the caller chose; only what has one is a candidate then.
    formats
        Formats of files besides our own.
    name_others
        Whether to name what is left aside.

    Raises
    ------
    DamagedData
        The index of a sharded checkpoint cannot be read.
    """
    entries = sorted((e for e in folder.iterdir() if not e.name.startswith(".")), key=lambda e: natural(e.name))
    possible = [entry for entry in entries if _may_be(entry, source, formats)]
    names = {entry.name for entry in possible}
    others = [entry for entry in entries if entry.name not in names] if name_others else []
    left_aside = {entry.name: _reason(entry, source) for entry in others if _holds_weights(entry, formats)}
    possible = [entry for entry in possible if weight_files(entry, formats)]
    if source is None:
        repeats = _in_other_formats(possible, formats)
        left_aside |= {entry.name: "a file of the same name in another format is preferred" for entry in repeats}
        timed = any(name_of(entry.name, formats).numbers_of(*UNITS) for entry in possible)
        weak = [e for e in possible if timed and e.is_dir() and not name_of(e.name, formats).numbers_of(*UNITS)]
        left_aside |= {entry.name: OWN_RUN for entry in weak}
        possible = [entry for entry in possible if entry.name not in left_aside]
    shards = _by_shards(possible, source, formats)
    return Candidates(shards, {entry: name_of(entry, formats) for entry in shards}, left_aside)


def _may_be(entry: Path, source: Source | None, formats: Sequence[Format]) -> bool:
    """Return whether an entry may be a snapshot: a file or a folder of one step, or whatever the caller chose."""
    if source is not None:
        return entry.name in source.steps
    return not entry.is_dir() or is_snapshot(entry, formats)


def _holds_weights(entry: Path, formats: Sequence[Format]) -> bool:
    if entry.is_dir():
        return is_snapshot(entry, formats) or is_run(entry, formats)
    return bool(weight_files(entry, formats))


def _reason(entry: Path, source: Source | None) -> str:
    if source is not None:
        return "the step pattern does not match its name"
    return "it states no step" if name_of(entry.name).is_copy else OWN_RUN


def _by_shards(entries: Sequence[Path], source: Source | None, formats: Sequence[Format]) -> dict[str, list[Path]]:
    """Join the entries that are shards of one checkpoint under the name of the first."""
    first: dict[tuple[str, int], str] = {}
    joined: dict[str, list[Path]] = {}
    for entry in entries:
        name = name_of(entry.name, formats)
        key = name.of_shards, 0 if source is None else source.steps[entry.name]
        is_shard = name.of_shards != name.stem
        joined.setdefault(first.setdefault(key, entry.name) if is_shard else entry.name, []).append(entry)
    return joined


def _in_other_formats(entries: Sequence[Path], formats: Sequence[Format]) -> list[Path]:
    """Return the files that also exist under the same name in a preferred format."""
    rank = {suffix: rank for rank, of in enumerate((*own_formats(), *formats)) for suffix in of.SUFFIXES}
    by_stem: dict[str, list[Path]] = {}
    for entry in entries:
        if not entry.is_dir():
            by_stem.setdefault(name_of(entry.name, formats).stem, []).append(entry)
    ranked = (sorted(same, key=lambda e: rank.get(e.name.removeprefix(stem), 0)) for stem, same in by_stem.items())
    return [entry for same in ranked for entry in same[1:]]
