"""Which step a checkpoint is of: what its file states, else what its name says.

The order of evidence: a counter of steps in the files, a number behind a word of steps in the names, an epoch in the
files, a number behind "epoch" or "checkpoint", and last the only number that differs between names that are otherwise
the same. A source counts only if every checkpoint has it and no two share a step. Numbers behind a loss, a seed and the
like, those with a decimal point, digits of a net's name, dates and hashes are never steps.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trajlab.errors import AmbiguousData, DamagedData
from trajlab.runs.readers.counters import EPOCH_COUNTERS, STEP_COUNTERS
from trajlab.runs.readers.formats import Header
from trajlab.runs.readers.names import EPOCH, GENERIC, PLAIN, SAVE, STEP, UNITS, Name
from trajlab.runs.readers.step_patterns import DIGITS, suggested


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


@dataclass(frozen=True)
class Steps:
    """Steps of the checkpoints of a folder.

    Attributes
    ----------
    steps
        Steps by entry, rising.
    source
        How they were read, such as "epoch in the name".
    left_aside
        Entries without a step of their own, with the reason.
    """

    steps: dict[str, int]
    source: str
    left_aside: dict[str, str]


ONLY = "0, as nothing in the name or the file is certain to be one"
"""Source of the step of a lone checkpoint that states none."""


def read_steps(folder: object, checkpoints: Sequence[Stated], chosen: Source | None = None) -> Steps:
    """Read the steps of the checkpoints of one network.

    Parameters
    ----------
    folder
        The folder, for messages.
    checkpoints
        Its checkpoints in natural order of their names; at least one.
    chosen
        The reading that the caller chose, of all checkpoints.

    Raises
    ------
    AmbiguousData
        Nothing tells the steps for certain.
    DamagedData
        Two checkpoints are of one step.
    """
    originals = _originals(checkpoints)
    source = _chosen(folder, chosen, originals) if chosen else _read(folder, checkpoints, originals)
    if source.words == ONLY and len(checkpoints) > 1 and all(one.name.is_copy for one in checkpoints):
        raise AmbiguousData(_ambiguity(folder, checkpoints, []))
    steps = {one.entry: source.steps[one.entry] for one in originals}
    left_aside = {}
    for one in checkpoints:
        if one.entry in steps:
            continue
        step = source.steps.get(one.entry)
        if step is None:
            left_aside[one.entry] = "it states no step"
        elif step in steps.values():
            left_aside[one.entry] = f"it repeats step {step}"
        else:
            steps[one.entry] = step
    return Steps(dict(sorted(steps.items(), key=lambda item: item[1])), source.words, left_aside)


def _originals(checkpoints: Sequence[Stated]) -> list[Stated]:
    """Return the checkpoints whose steps must be told apart; copies of them and others may do without."""
    originals = [one for one in checkpoints if not one.name.is_copy]
    timed = [one for one in originals if one.name.numbers_of(*UNITS)]
    numbered = [one for one in originals if one.name.numbers_of(*UNITS, PLAIN)]
    stating = [one for one in originals if one.counters]
    copies = {tuple(n.value for n in one.name.numbers): one for one in reversed(checkpoints) if one.name.numbers}
    originals = originals or list(reversed(copies.values())) or list(checkpoints[:1])
    return (timed if 2 * len(timed) > len(numbered) else numbered) or stating or originals


def _read(folder: object, checkpoints: Sequence[Stated], originals: Sequence[Stated]) -> Source:
    sources = _sources(checkpoints, originals)
    return _lone(sources, originals[0]) if len(originals) == 1 else _certain(folder, sources, originals)


def _chosen(folder: object, source: Source, originals: Sequence[Stated]) -> Source:
    _check_repetition(folder, source, [one.entry for one in originals])
    return source


def _check_repetition(folder: object, source: Source, entries: Sequence[str]) -> None:
    steps = [source.steps[entry] for entry in entries]
    repeated = next((step for step in steps if steps.count(step) > 1), None)
    if repeated is not None:
        first, second = [entry for entry in entries if source.steps[entry] == repeated][:2]
        raise DamagedData(
            f"cannot tell which checkpoint of {folder} is step {repeated}: both {first} and {second} are; move one of "
            "them out of the folder, choose files with --series, or say where the step stands in the name with "
            "--step-pattern"
        )


def _lone(sources: Sequence[Source], one: Stated) -> Source:
    """Return the step of a checkpoint that has no other to be told from."""
    for source in sources:
        if one.entry in source.steps:
            return source
    plain = one.name.numbers_of(PLAIN)
    if len(plain) == 1 and all(word.lower() in GENERIC for word in one.name.words):
        return Source("number in the name", {one.entry: plain[0].value})
    return Source(ONLY, {one.entry: 0})


def _certain(folder: object, sources: Sequence[Source], originals: Sequence[Stated]) -> Source:
    """Return the first source that all have, that tells them apart, and that rises with every other one."""
    entries = [one.entry for one in originals]
    complete = [source for source in sources if set(entries) <= set(source.steps)]
    epochs = [source for source in complete if source.coarse]
    plain = list(_plain_sources(originals, complete))
    telling = [source for source in (*complete, *plain) if _tells_apart(source, entries)]
    for source in telling:
        uncertain = source.of_saves or source in plain
        rivals = [other for other in telling if other is not source and (other in plain or other.of_saves)]
        rivals = rivals if uncertain else []
        if not rivals and all(_rises_with(source, other, entries) for other in (complete if uncertain else epochs)):
            return source
    varying = [s for s in complete if s.of_name or len({s.steps[entry] for entry in entries}) > 1]
    if len(varying) == 1 and not plain and len({one.name.shape for one in originals}) == 1:
        _check_repetition(folder, varying[0], entries)
    raise AmbiguousData(_ambiguity(folder, originals, [*varying, *plain]))


def _tells_apart(source: Source, entries: Sequence[str]) -> bool:
    return len({source.steps[entry] for entry in entries}) == len(entries)


def _rises_with(source: Source, epochs: Source, entries: Sequence[str]) -> bool:
    """Return whether no step falls while the epoch rises, as steps do that are counted anew in each epoch."""
    ordered = sorted(entries, key=lambda entry: (source.steps[entry], epochs.steps[entry]))
    return all(epochs.steps[a] <= epochs.steps[b] for a, b in zip(ordered, ordered[1:], strict=False))


def _sources(checkpoints: Sequence[Stated], originals: Sequence[Stated]) -> list[Source]:
    """Return what files and names say in the order of evidence, of those checkpoints that say it."""
    in_files = {key: dict(_stated(key, checkpoints)) for key in _keys(checkpoints)}
    of_steps = [Source(f"{key} in the file", steps) for key, steps in in_files.items() if not _of_epochs(key)]
    of_epochs = [Source(f"{key} in the file", steps, coarse=True) for key, steps in in_files.items() if _of_epochs(key)]
    by_role = {role: list(_named(role, units, checkpoints)) for role, units in UNITS.items()}
    entries = [one.entry for one in originals]
    finer = [
        save for save in by_role[SAVE]
        if all(save.steps.get(entry, 0) > epoch.steps.get(entry, 0) for epoch in of_epochs for entry in entries)
    ]  # fmt: skip
    return list(dict.fromkeys([*of_steps, *by_role[STEP], *finer, *of_epochs, *by_role[EPOCH], *by_role[SAVE]]))


def _keys(checkpoints: Sequence[Stated]) -> list[str]:
    """Return the counters in files, the most telling first and nested ones last."""
    order = {key: rank for rank, key in enumerate((*STEP_COUNTERS, *EPOCH_COUNTERS))}
    keys = dict.fromkeys(key for one in checkpoints for key in one.counters)
    return sorted(keys, key=lambda key: (key.count("."), order[key.rpartition(".")[2]]))


def _of_epochs(key: str) -> bool:
    return key.rpartition(".")[2] in EPOCH_COUNTERS


def _stated(key: str, checkpoints: Sequence[Stated]) -> Iterator[tuple[str, int]]:
    return ((one.entry, one.counters[key]) for one in checkpoints if key in one.counters)


def _named(role: str, units: str, checkpoints: Sequence[Stated]) -> Iterator[Source]:
    """Yield the numbers behind each word of time of a role."""
    for unit in (words.split()[0] for words in units.split("/")):
        numbers = {
            one.entry: [number for number in one.name.numbers_of(role) if number.unit == unit][-1]
            for one in checkpoints
            if any(number.unit == unit for number in one.name.numbers_of(role))
        }
        if numbers:
            words = {number.word for number in numbers.values()}
            word = words.pop() if len(words) == 1 else unit
            steps = {entry: number.value for entry, number in numbers.items()}
            yield Source(f"{word} in the name", steps, coarse=role == EPOCH, of_saves=role == SAVE, of_name=True)


def _plain_sources(originals: Sequence[Stated], complete: Sequence[Source]) -> Iterator[Source]:
    """Yield the numbers without a word of time that differ between names, if the checkpoints are of one network."""
    plain = [one.name.numbers_of(PLAIN) for one in originals]
    timed = any(one.name.numbers_of(*UNITS) for one in originals)
    if len({len(numbers) for numbers in plain}) > 1 or (timed and not complete) or not _one_network(originals):
        return
    for position, first in enumerate(plain[0]):
        steps = {one.entry: numbers[position].value for one, numbers in zip(originals, plain, strict=True)}
        separate = all(numbers[position].is_separate for numbers in plain)
        if separate and len(set(steps.values())) > 1:
            before = DIGITS.sub("*", originals[0].name.stem[: first.start])
            yield Source(f"number behind {before!r} in the name" if before else "number in the name", steps)


def _one_network(originals: Sequence[Stated]) -> bool:
    """Return whether all hold about the same tensors: nearly all names in common, and half of the shapes."""
    first = originals[0].shapes()
    for one in originals[1:]:
        shapes = one.shapes()
        common = first.keys() & shapes.keys()
        same = sum(first[name] == shapes[name] for name in common)
        if len(common) < 0.9 * max(len(first), len(shapes)) or 2 * same < len(common):
            return False
    return True


def _ambiguity(folder: object, checkpoints: Sequence[Stated], candidates: Sequence[Source]) -> str:
    """Write what could be the step, and the patterns that choose it."""
    names = [one.entry for one in checkpoints]
    units = {n.word: one.entry for one in reversed(checkpoints) for n in one.name.numbers_of(*UNITS)}
    examples = ", ".join(names[:3])
    if len(candidates) > 1:
        reason = f"{' and '.join(source.words for source in candidates)} differ, and none of them is certain"
    elif len(units) > 1:
        words = ", others ".join(f"{word} ({entry})" for word, entry in sorted(units.items()))
        reason = f"some names count {words}, and the files state no step that all have"
    elif not _one_network(checkpoints):
        reason = f"{examples} hold different tensors, so their numbers may name networks instead of steps"
    else:
        reason = f"no number in names such as {examples} is certain to be one, and the files state none that differs"
    patterns = suggested(names, {one.entry: one.name.stem for one in checkpoints})
    options = " or ".join(f"--step-pattern '{pattern}'" for pattern in patterns)
    remedy = (
        f"say where the step stands with {options} (step_pattern= in Python)"
        if options
        else (f"rename them to step_<n>, or choose one with --series '{checkpoints[0].name.stem}' (series= in Python)")
    )
    return f"cannot tell the steps of the checkpoints in {folder}: {reason}; {remedy}"
