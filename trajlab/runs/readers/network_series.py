"""Series of checkpoints in one folder: those of one network, whose names differ in the step only."""

from collections.abc import Callable, Mapping, Sequence

from trajlab.errors import AmbiguousData, BadSetting, MissingData
from trajlab.runs.patterns import compile_pattern
from trajlab.runs.readers.name_words import PLAIN, UNITS
from trajlab.runs.readers.names import Name

EDGES = "*_-.= "
"""Characters at the ends of a series' name that may be left out."""

MOST = 6
"""Most series that an error names."""


def choose_series(
    folder: object, names: Mapping[str, Name], series: str | None, holds_weights: Callable[[str], bool]
) -> dict[str, str]:
    """Return the checkpoints to leave aside, so that those of one network remain, with the reason.

    Where others have a step in the name, checkpoints of another network without one are left aside, and so are files
    that hold no weights, such as states of optimizers.

    Parameters
    ----------
    folder
        The folder, for messages.
    names
        Names of the checkpoints by file or folder.
    series
        What the names of the checkpoints to take share, such as "net_G_A", or a regular expression that they match.
    holds_weights
        Function that reads whether a checkpoint holds weights; it is called only where names do not tell.

    Raises
    ------
    AmbiguousData
        There are several networks and `series` does not choose.
    MissingData
        No name is of the series.
    BadSetting
        The series is neither a name nor a regular expression.
    """
    groups = _groups(names)
    if series is not None:
        chosen = _members(folder, groups, names, series)
        return {entry: f"it is not of the series {series}" for entry in names if entry not in chosen}
    candidates = _numbered(groups, names) or groups
    if len(candidates) > 1:
        candidates = {shape: e for shape, e in candidates.items() if any(map(holds_weights, e))} or candidates
    if len(candidates) > 1:
        raise AmbiguousData(_several(folder, candidates))
    chosen = {entry for entries in candidates.values() for entry in entries}
    return {entry: "its name states no step of this network" for entry in names if entry not in chosen}


def _numbered(groups: Mapping[str, list[str]], names: Mapping[str, Name]) -> dict[str, list[str]]:
    """Return the groups with steps in their names; not single names with a number that may be anything."""
    roles = {
        shape: {n.role for e in of if not names[e].is_copy for n in names[e].numbers} for shape, of in groups.items()
    }
    timed = any(roles[shape] & UNITS.keys() for shape in groups)
    return {
        shape: entries
        for shape, entries in groups.items()
        if roles[shape] & UNITS.keys() or (PLAIN in roles[shape] and (len(entries) > 1 or not timed))
    }


def _groups(names: Mapping[str, Name]) -> dict[str, list[str]]:
    """Return the checkpoints of each network by the shape of their names, such as "net_G_A_*"."""
    by_identity: dict[tuple[str, ...], list[str]] = {}
    for entry, name in names.items():
        by_identity.setdefault(name.identity, []).append(entry)
    groups: dict[str, list[str]] = {}
    for entries in by_identity.values():
        first = next((entry for entry in entries if _is_numbered(names[entry])), entries[0])
        shape = names[first].shape
        groups[shape if shape not in groups else names[first].stem] = entries
    return groups


def _is_numbered(name: Name) -> bool:
    return not name.is_copy and bool(name.numbers_of(*UNITS, PLAIN))


def _members(folder: object, groups: Mapping[str, list[str]], names: Mapping[str, Name], series: str) -> set[str]:
    exact = {entry for entry, name in names.items() if series in (entry, name.stem)}
    if exact:
        return exact
    for shape, entries in groups.items():
        if series.strip(EDGES) == shape.strip(EDGES) and series.strip(EDGES):
            return set(entries)
    try:
        pattern = compile_pattern(series, "series")
    except BadSetting as error:
        raise BadSetting(f"{error}, or name one of {_listed(groups)}") from error
    members = {entry for entry in names if pattern.search(entry)}
    if not members:
        raise MissingData(
            f"cannot find the series {series!r} in {folder}: it holds {_listed(groups) or 'no checkpoints'}; name one "
            "of these, or a regular expression that the names match"
        )
    return members


def _several(folder: object, groups: Mapping[str, Sequence[str]]) -> str:
    options = " or ".join(f"--series '{shape.strip(EDGES) or shape}'" for shape in list(groups)[:2])
    return (
        f"cannot open {folder} as one run: names differ in more than the step, in {len(groups)} series of checkpoints, "
        f"{_listed(groups)}; choose one with {options} (series= in Python)"
    )


def _listed(groups: Mapping[str, Sequence[str]]) -> str:
    texts = [f"{shape} ({len(entries)})" for shape, entries in list(groups.items())[:MOST]]
    return ", ".join(texts) + (f" and {len(groups) - MOST} more" if len(groups) > MOST else "")
