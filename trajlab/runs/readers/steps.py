"""Which step a checkpoint is of: what its file states, else what its name says.

The order of evidence: a counter of steps in the files, a number behind a word of steps in the names, an epoch in the
files, a number behind "epoch" or "checkpoint", and last the only number that differs between names that are otherwise
the same. A source counts only if every checkpoint has it and no two share a step. Numbers behind a loss, a seed and the
like, those with a decimal point, digits of a net's name, dates and hashes are never steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from trajlab.errors import AmbiguousData, DamagedData
from trajlab.runs.readers.name_words import GENERIC, PLAIN, UNITS
from trajlab.runs.readers.step_evidence import Source, Stated, is_one_network, plain_sources, sources_of
from trajlab.runs.readers.step_patterns import suggested


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
    if source.words == ONLY and len(checkpoints) > 1 and all(checkpoint.name.is_copy for checkpoint in checkpoints):
        raise AmbiguousData(_ambiguity(folder, checkpoints, []))
    steps = {checkpoint.entry: source.steps[checkpoint.entry] for checkpoint in originals}
    left_aside = {}
    for checkpoint in checkpoints:
        if checkpoint.entry in steps:
            continue
        step = source.steps.get(checkpoint.entry)
        if step is None:
            left_aside[checkpoint.entry] = "it states no step"
        elif step in steps.values():
            left_aside[checkpoint.entry] = f"it repeats step {step}"
        else:
            steps[checkpoint.entry] = step
    return Steps(dict(sorted(steps.items(), key=lambda item: item[1])), source.words, left_aside)


def _originals(checkpoints: Sequence[Stated]) -> list[Stated]:
    """Return the checkpoints whose steps must be told apart; copies of them and others may do without."""
    originals = [checkpoint for checkpoint in checkpoints if not checkpoint.name.is_copy]
    timed = [checkpoint for checkpoint in originals if checkpoint.name.numbers_of(*UNITS)]
    numbered = [checkpoint for checkpoint in originals if checkpoint.name.numbers_of(*UNITS, PLAIN)]
    stating = [checkpoint for checkpoint in originals if checkpoint.counters]
    copies = {
        tuple(n.value for n in checkpoint.name.numbers): checkpoint
        for checkpoint in reversed(checkpoints)
        if checkpoint.name.numbers
    }
    originals = originals or list(reversed(copies.values())) or list(checkpoints[:1])
    return (timed if 2 * len(timed) > len(numbered) else numbered) or stating or originals


def _read(folder: object, checkpoints: Sequence[Stated], originals: Sequence[Stated]) -> Source:
    sources = sources_of(checkpoints, originals)
    return _lone(sources, originals[0]) if len(originals) == 1 else _certain(folder, sources, originals)


def _chosen(folder: object, source: Source, originals: Sequence[Stated]) -> Source:
    _check_repetition(folder, source, [checkpoint.entry for checkpoint in originals])
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


def _lone(sources: Sequence[Source], checkpoint: Stated) -> Source:
    """Return the step of a checkpoint that has no other to be told from."""
    for source in sources:
        if checkpoint.entry in source.steps:
            return source
    plain = checkpoint.name.numbers_of(PLAIN)
    if len(plain) == 1 and all(word.lower() in GENERIC for word in checkpoint.name.words):
        return Source("number in the name", {checkpoint.entry: plain[0].value})
    return Source(ONLY, {checkpoint.entry: 0})


def _certain(folder: object, sources: Sequence[Source], originals: Sequence[Stated]) -> Source:
    """Return the first source that all have, that tells them apart, and that rises with every other one."""
    entries = [checkpoint.entry for checkpoint in originals]
    complete = [source for source in sources if set(entries) <= set(source.steps)]
    epochs = [source for source in complete if source.coarse]
    plain = list(plain_sources(originals, complete))
    telling = [source for source in (*complete, *plain) if _tells_apart(source, entries)]
    for source in telling:
        uncertain = source.of_saves or source in plain
        rivals = [other for other in telling if other is not source and (other in plain or other.of_saves)]
        rivals = rivals if uncertain else []
        if not rivals and all(_rises_with(source, other, entries) for other in (complete if uncertain else epochs)):
            return source
    varying = [s for s in complete if s.of_name or len({s.steps[entry] for entry in entries}) > 1]
    if len(varying) == 1 and not plain and len({checkpoint.name.shape for checkpoint in originals}) == 1:
        _check_repetition(folder, varying[0], entries)
    raise AmbiguousData(_ambiguity(folder, originals, [*varying, *plain]))


def _tells_apart(source: Source, entries: Sequence[str]) -> bool:
    return len({source.steps[entry] for entry in entries}) == len(entries)


def _rises_with(source: Source, epochs: Source, entries: Sequence[str]) -> bool:
    """Return whether no step falls while the epoch rises, as steps do that are counted anew in each epoch."""
    ordered = sorted(entries, key=lambda entry: (source.steps[entry], epochs.steps[entry]))
    return all(epochs.steps[a] <= epochs.steps[b] for a, b in zip(ordered, ordered[1:], strict=False))


def _ambiguity(folder: object, checkpoints: Sequence[Stated], candidates: Sequence[Source]) -> str:
    """Write what could be the step, and the patterns that choose it."""
    names = [checkpoint.entry for checkpoint in checkpoints]
    units = {
        n.word: checkpoint.entry for checkpoint in reversed(checkpoints) for n in checkpoint.name.numbers_of(*UNITS)
    }
    examples = ", ".join(names[:3])
    if len(candidates) > 1:
        reason = f"{' and '.join(source.words for source in candidates)} differ, and none of them is certain"
    elif len(units) > 1:
        words = ", others ".join(f"{word} ({entry})" for word, entry in sorted(units.items()))
        reason = f"some names count {words}, and the files state no step that all have"
    elif not is_one_network(checkpoints):
        reason = f"{examples} hold different tensors, so their numbers may name networks instead of steps"
    else:
        reason = f"no number in names such as {examples} is certain to be one, and the files state none that differs"
    patterns = suggested(names, {checkpoint.entry: checkpoint.name.stem for checkpoint in checkpoints})
    options = " or ".join(f"--step-pattern '{pattern}'" for pattern in patterns)
    remedy = (
        f"say where the step stands with {options} (step_pattern= in Python)"
        if options
        else (f"rename them to step_<n>, or choose one with --series '{checkpoints[0].name.stem}' (series= in Python)")
    )
    return f"cannot tell the steps of the checkpoints in {folder}: {reason}; {remedy}"
