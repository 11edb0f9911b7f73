"""Rows of the heat map: the module tree, folded and unfolded, and the roles of parameters in repeated blocks."""

from collections import Counter
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from os.path import commonprefix
from typing import NamedTuple

from trajlab.figures.marks.labels import shorten
from trajlab.statistics.roles import block_parameter

MOST_ROWS = 60
"""Rows up to which the module tree is unfolded by default."""

MODULES, ROLES, ALL = "modules", "roles", "all parameters"
MODES = (MODULES, ROLES, ALL)
"""Orders of the rows: the module tree, parameters of one role together, and network order."""


class Row(NamedTuple):
    """A row of the heat map.

    Attributes
    ----------
    label
        Name of the parameter, or of the folded module with the number of its parameters.
    members
        Positions of its parameters.
    name
        Name of the parameter or module.
    folded
        Whether it is a module of several parameters.
    """

    label: str
    members: tuple[int, ...]
    name: str
    folded: bool = False


def rows_of(names: Sequence[str], *, mode: str = MODULES, opened: Collection[str] = (), pattern: str = "") -> list[Row]:
    """Return the rows of the parameters or layers that match a pattern.

    Parameters
    ----------
    names
        Names in network order.
    mode
        One of `MODES`.
    opened
        Modules that are unfolded beyond the default.
    pattern
        See `matches`. A search shows the parameters themselves.

    Examples
    --------
    >>> [row.label for row in rows_of(["a.w", "a.b", "c.w"], pattern="*.w")]
    ['a.w', 'c.w']
    """
    shown = [position for position, name in enumerate(names) if matches(name, pattern)]
    if mode == ROLES:
        shown.sort(key=_by_role(names))
    if mode != MODULES or pattern.strip():
        return [Row(names[i], (i,), names[i]) for i in shown]
    depth = _depth(names)
    return _unfolded(names, shown, "", 0, depth, frozenset(opened))


def matches(name: str, pattern: str) -> bool:
    """Return whether a name matches a shell pattern, or holds a text without ``*?[``, ignoring case.

    >>> matches("layers.0.mlp.up.weight", "MLP"), matches("layers.0.mlp.up.weight", "*.bias")
    (True, False)
    """
    pattern, name = pattern.strip().lower(), name.lower()
    return fnmatchcase(name, pattern) if set("*?[") & set(pattern) else pattern in name


def _by_role(names: Sequence[str]):
    """Return a sort key of positions: roles in the order in which they first appear."""
    roles: dict[str, int] = {}
    ranks = []
    for name in names:
        parameter = block_parameter(name)
        ranks.append(roles.setdefault(name if parameter is None else parameter.role, len(roles)))
    return lambda position: (ranks[position], position)


def _depth(names: Sequence[str]) -> int:
    """Return how many levels of the module tree can be unfolded with at most `MOST_ROWS` rows; 1 at least."""
    parts = [name.split(".") for name in names]
    deepest = max(map(len, parts), default=1)
    fitting = [
        depth for depth in range(1, deepest + 1) if len({tuple(part[:depth]) for part in parts}) <= MOST_ROWS
    ]  # fmt: skip
    return max(fitting, default=1)


def _unfolded(
    names: Sequence[str], members: Sequence[int], prefix: str, level: int, depth: int, opened: frozenset[str]
) -> list[Row]:
    """Return the rows below a module."""
    children: dict[str, list[int]] = {}
    for position in members:
        part = names[position].split(".")[level]
        children.setdefault(f"{prefix}{part}", []).append(position)
    rows = []
    for child, positions in children.items():
        leaf = [position for position in positions if names[position] == child]
        below = [position for position in positions if names[position] != child]
        rows += [Row(child, (position,), child) for position in leaf]
        if len(below) == 1:
            rows.append(Row(names[below[0]], (below[0],), names[below[0]]))
        elif below and (level + 1 < depth or child in opened):
            rows += _unfolded(names, below, f"{child}.", level + 1, depth, opened)
        elif below:
            rows.append(Row(f"▸ {child} ({len(below)})", tuple(below), child, folded=True))
    return rows


def short_labels(names: Sequence[str], longest: int) -> list[str]:
    """Return the ends of names that are too long; where several have the same end, the part in which they differ.

    >>> short_labels(["a.bias", "encoder.block.0.norm.weight", "encoder.block.1.norm.weight"], 12)
    ['a.bias', '…0.norm.wei…', '…1.norm.wei…']
    """
    labels = [shorten(name, longest) for name in names]
    repeated = {label for label, times in Counter(labels).items() if times > 1 and label.startswith("…")}
    starts = {}
    for label in repeated:
        alike = commonprefix([name for name, short in zip(names, labels, strict=True) if short == label])
        word = 1 + max(alike.rfind(separator) for separator in "._-/ ")
        starts[label] = max(word, len(alike) - longest // 2)
    return [
        shorten(f"…{name[starts[label] :][: longest - 2]}…", longest) if label in starts else label
        for name, label in zip(names, labels, strict=True)
    ]
