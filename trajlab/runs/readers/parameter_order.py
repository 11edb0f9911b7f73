"""Which parameter is which position of an optimizer's groups: torch stores positions, not names."""

import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from trajlab.runs.tensors import natural

Shape = tuple[int, ...]

MOST_STATES = 400_000
"""Arrangements of groups that are followed; beyond, no position is determined."""

BLOCK = re.compile(r"(?<=\.)[0-9]+(?=\.)|^[0-9]+(?=\.)")
"""Numbers of blocks in names."""


def determined(
    groups: Sequence[Sequence[Shape | None]], names: Sequence[str], shapes: Mapping[str, Shape]
) -> list[list[str | None]]:
    """Return the parameter at each position of each group, where the order of the network determines it.

    Each group keeps the order in which the network defines its parameters, as those made from `named_parameters()` do,
    and no parameter is in two groups. A position is determined if all assignments with these properties and the right
    shapes agree on it.

    Parameters
    ----------
    groups
        Shapes of the parameters of each group, in its order; None where the state says none.
    names
        Names of the network's parameters, in its order. It may have more than are optimized.
    shapes
        Their shapes.

    Returns
    -------
    list of lists of str or None
        Names by group and position; None where several are possible, or none is.

    Examples
    --------
    >>> shapes = {"a.weight": (2, 3), "a.bias": (2,), "b.weight": (2, 3), "b.bias": (2,)}
    >>> determined([[(2, 3), (2, 3)], [(2,), (2,)]], list(shapes), shapes)
    [['a.weight', 'b.weight'], ['a.bias', 'b.bias']]
    >>> determined([[(2, 3)], [(2, 3)]], ["a.weight", "b.weight"], shapes)
    [[None], [None]]
    """
    lengths = tuple(map(len, groups))
    spare = len(names) - sum(lengths)
    nothing: list[list[str | None]] = [[None] * length for length in lengths]
    if spare < 0:
        return nothing

    def following(state: tuple[int, ...], name: str) -> list[tuple[int | None, tuple[int, ...]]]:
        """Return what may become of the next parameter: the group that takes it, or None, and the state after it."""
        steps: list[tuple[int | None, tuple[int, ...]]] = []
        for number, group in enumerate(groups):
            at = state[number]
            if at < len(group) and group[at] in (None, shapes[name]):
                steps.append((number, (*state[:number], at + 1, *state[number + 1 :])))
        return [*steps, (None, state)]

    reached: list[set[tuple[int, ...]]] = [{(0,) * len(groups)}]
    count = 1
    for position, name in enumerate(names):
        after = {
            new
            for state in reached[-1]
            for _, new in following(state, name)
            if position + 1 - sum(new) <= spare
        }  # fmt: skip
        reached.append(after)
        count += len(after)
        if count > MOST_STATES:
            return nothing
    possible: list[list[set[str]]] = [[set() for _ in group] for group in groups]
    alive = {lengths} & reached[-1]
    for position in range(len(names) - 1, -1, -1):
        before = set()
        for state in reached[position]:
            for group_number, new in following(state, names[position]):
                if new in alive:
                    before.add(state)
                    if group_number is not None:
                        possible[group_number][state[group_number]].add(names[position])
        alive = before
    return [[next(iter(names)) if len(names) == 1 else None for names in group] for group in possible]


def determined_by_shape(
    groups: Sequence[Sequence[Shape | None]], names: Sequence[str], shapes: Mapping[str, Shape]
) -> list[list[str | None]]:
    """Return the parameter at each position where the order of the network is not known.

    A position is determined if its parameters are the only ones of their shape, all in one group, and are one, or are
    of one role and differ in the number of their block alone, by which a network orders them.

    Parameters
    ----------
    groups, names, shapes
        As in `determined`; names in any order.

    Examples
    --------
    >>> shapes = {"h.0.up.weight": (8, 2), "h.1.up.weight": (8, 2), "q.weight": (2, 2), "o.weight": (2, 2)}
    >>> determined_by_shape([[(8, 2), (2, 2), (2, 2), (8, 2)]], list(shapes)[::-1], shapes)
    [['h.0.up.weight', None, None, 'h.1.up.weight']]
    """
    result: list[list[str | None]] = [[None] * len(group) for group in groups]
    if any(shape is None for group in groups for shape in group):
        return result
    for shape in {shape for group in groups for shape in group}:
        candidates = [name for name in names if shapes[name] == shape]
        positions = [(g, at) for g, group in enumerate(groups) for at, other in enumerate(group) if other == shape]
        roles = {BLOCK.sub("*", name) for name in candidates}
        numbers = [[natural(number) for number in BLOCK.findall(name)] for name in candidates]
        varying = sum(any(number != column[0] for number in column) for column in zip(*numbers, strict=False))
        if len(positions) != len(candidates) or len(roles) > 1 or varying > 1 or len({g for g, _ in positions}) > 1:
            continue
        ordered = [name for _, name in sorted(zip(numbers, candidates, strict=True))]
        for (group_number, at), name in zip(positions, ordered, strict=True):
            result[group_number][at] = name
    return result


def names_of_keys(keys: Sequence[Hashable], names: Sequence[str]) -> dict[Any, str]:
    """Return the parameters of keys that are names, as distributed optimizers write them.

    A key is the name itself, or one of them ends with the other behind a dot, and with no other.

    >>> names_of_keys(["model.fc.weight", "fc.bias", "bias"], ["fc.weight", "fc.bias", "head.bias"])
    {'model.fc.weight': 'fc.weight', 'fc.bias': 'fc.bias'}
    """
    matches = {}
    for key in keys:
        text = str(key)
        fitting = [name for name in names if f".{text}".endswith(f".{name}") or f".{name}".endswith(f".{text}")]
        if text in names:
            fitting = [text]
        if len(fitting) == 1:
            matches[key] = fitting[0]
    return matches
