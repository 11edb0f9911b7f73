"""Evidence of steps: what the files and the names of checkpoints say, in the order in which it counts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trajlab.runs.readers.counters import EPOCH_COUNTERS, STEP_COUNTERS
from trajlab.runs.readers.formats import Header
from trajlab.runs.readers.name_words import EPOCH, PLAIN, SAVE, STEP, UNITS
from trajlab.runs.readers.names import Name
from trajlab.runs.readers.step_patterns import DIGITS


@dataclass(frozen=True)
class Stated:
    """What the files and the name of a checkpoint say.

    Attributes
    ----------
    entry
        Name of the file or folder.
    name
        The same, read.
    counters
        Counters of training that its files state, by key.
    headers
        What its files hold, by path.
    """

    entry: str
    name: Name
    counters: Mapping[str, int] = field(default_factory=dict)
    headers: Mapping[str, Header] = field(default_factory=dict)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of its tensors by name, without the prefixes of wrappers."""
        return {
            name.replace("_orig_mod.", "").replace("module.", ""): entry.shape
            for header in self.headers.values()
            for name, entry in header.entries.items()
        }


@dataclass(frozen=True, eq=False)
class Source:
    """One reading of the steps.

    Attributes
    ----------
    words
        What is read, such as "epoch in the name".
    steps
        Steps by the entries that have it.
    coarse
        Whether it counts epochs.
    of_saves
        Whether it is a number behind "checkpoint", which may count anything.
    of_name
        Whether it is a number in the name.
    """

    words: str
    steps: Mapping[str, int]
    coarse: bool = False
    of_saves: bool = False
    of_name: bool = False


def sources_of(checkpoints: Sequence[Stated], originals: Sequence[Stated]) -> list[Source]:
    """Return what files and names say in the order of evidence, of those checkpoints that say it."""
    in_files = {key: dict(_stated(key, checkpoints)) for key in _keys(checkpoints)}
    of_steps = [Source(f"{key} in the file", steps) for key, steps in in_files.items() if not _of_epochs(key)]
    of_epochs = [Source(f"{key} in the file", steps, coarse=True) for key, steps in in_files.items() if _of_epochs(key)]
    by_role = {role: list(_named(role, units, checkpoints)) for role, units in UNITS.items()}
    entries = [checkpoint.entry for checkpoint in originals]
    finer = [
        save for save in by_role[SAVE]
        if all(save.steps.get(entry, 0) > epoch.steps.get(entry, 0) for epoch in of_epochs for entry in entries)
    ]  # fmt: skip
    return list(dict.fromkeys([*of_steps, *by_role[STEP], *finer, *of_epochs, *by_role[EPOCH], *by_role[SAVE]]))


def _keys(checkpoints: Sequence[Stated]) -> list[str]:
    """Return the counters in files, the most telling first and nested ones last."""
    order = {key: rank for rank, key in enumerate((*STEP_COUNTERS, *EPOCH_COUNTERS))}
    keys = dict.fromkeys(key for checkpoint in checkpoints for key in checkpoint.counters)
    return sorted(keys, key=lambda key: (key.count("."), order[key.rpartition(".")[2]]))


def _of_epochs(key: str) -> bool:
    return key.rpartition(".")[2] in EPOCH_COUNTERS


def _stated(key: str, checkpoints: Sequence[Stated]) -> Iterator[tuple[str, int]]:
    return ((checkpoint.entry, checkpoint.counters[key]) for checkpoint in checkpoints if key in checkpoint.counters)


def _named(role: str, units: str, checkpoints: Sequence[Stated]) -> Iterator[Source]:
    """Yield the numbers behind each word of time of a role."""
    for unit in (words.split()[0] for words in units.split("/")):
        numbers = {
            checkpoint.entry: [number for number in checkpoint.name.numbers_of(role) if number.unit == unit][-1]
            for checkpoint in checkpoints
            if any(number.unit == unit for number in checkpoint.name.numbers_of(role))
        }
        if numbers:
            words = {number.word for number in numbers.values()}
            word = words.pop() if len(words) == 1 else unit
            steps = {entry: number.value for entry, number in numbers.items()}
            yield Source(f"{word} in the name", steps, coarse=role == EPOCH, of_saves=role == SAVE, of_name=True)


def plain_sources(originals: Sequence[Stated], complete: Sequence[Source]) -> Iterator[Source]:
    """Yield the numbers without a word of time that differ between names, if the checkpoints are of one network."""
    plain = [checkpoint.name.numbers_of(PLAIN) for checkpoint in originals]
    timed = any(checkpoint.name.numbers_of(*UNITS) for checkpoint in originals)
    if len({len(numbers) for numbers in plain}) > 1 or (timed and not complete) or not is_one_network(originals):
        return
    for position, first in enumerate(plain[0]):
        steps = {
            checkpoint.entry: numbers[position].value for checkpoint, numbers in zip(originals, plain, strict=True)
        }
        separate = all(numbers[position].is_separate for numbers in plain)
        if separate and len(set(steps.values())) > 1:
            before = DIGITS.sub("*", originals[0].name.stem[: first.start])
            yield Source(f"number behind {before!r} in the name" if before else "number in the name", steps)


def is_one_network(originals: Sequence[Stated]) -> bool:
    """Return whether all hold about the same tensors: nearly all names in common, and half of the shapes."""
    first = originals[0].shapes()
    for checkpoint in originals[1:]:
        shapes = checkpoint.shapes()
        common = first.keys() & shapes.keys()
        same = sum(first[name] == shapes[name] for name in common)
        if len(common) < 0.9 * max(len(first), len(shapes)) or 2 * same < len(common):
            return False
    return True
