"""Parameters of repeated blocks by role and block: ``layers.3.mlp.up_proj.weight`` has a role in ``layers.3``."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MANY = 40
"""Rows from which on those of repeated blocks are shown by role."""

APART = ("bias", "norm")
"""Kinds of parameters that are shown below all others."""


LEAVES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked", "weight.grad", "bias.grad")
"""Roles of tensors that a numbered layer holds itself."""

BLOCKS = ("layers", "layer", "h", "blocks", "block")
"""What lists of blocks are called."""


class BlockParameter(NamedTuple):
    """Where a parameter of a repeated block is: ``layers.3.mlp.up.weight`` has role mlp.up.weight in layers.3."""

    block: str
    role: str


class Grid(NamedTuple):
    """Parameters of repeated blocks by role and block.

    Attributes
    ----------
    roles, blocks
        Names along the two axes, in network order.
    members
        Positions of the parameters, (role, block); -1 where a block lacks the role.
    """

    roles: list[str]
    blocks: list[str]
    members: np.ndarray


class Group(NamedTuple):
    """Rows of one role, in the order of the blocks.

    Attributes
    ----------
    label
        The role, or the name of a parameter that is in no repeated block.
    members
        Positions of the rows.
    """

    label: str
    members: tuple[int, ...]


def block_parameter(name: str) -> BlockParameter | None:
    """Split a name at its first number, or return None if it has none.

    >>> block_parameter("layers.3.mlp.up.weight")
    BlockParameter(block='layers.3', role='mlp.up.weight')
    """
    match = re.fullmatch(r"((?:[^.]+\.)*?\d+)\.(.+)", name)
    return BlockParameter(match[1], match[2]) if match else None


def grid_of(names: Sequence[str]) -> Grid | None:
    """Arrange the parameters of repeated blocks by role and block; None if no role is in two blocks."""
    parameters = [block_parameter(name) for name in names]
    blocks_of: dict[str, list[str]] = {}
    for parameter in parameters:
        if parameter is not None:
            blocks_of.setdefault(parameter.role, []).append(parameter.block)
    roles = [role for role, blocks in blocks_of.items() if len(blocks) > 1]
    if not roles:
        return None
    blocks = list(
        dict.fromkeys(parameter.block for parameter in parameters if parameter is not None and parameter.role in roles)
    )
    members = np.full((len(roles), len(blocks)), -1)
    for position, parameter in enumerate(parameters):
        if parameter is not None and parameter.role in roles:
            members[roles.index(parameter.role), blocks.index(parameter.block)] = position
    return Grid(roles, blocks, members)


def groups_of(names: Sequence[str], kinds: Sequence[str] = ()) -> list[Group] | None:
    """Return many rows by role, biases and norms below all others; None if they are few or no role is repeated.

    Parameters
    ----------
    names
        Names of the rows, in network order.
    kinds
        Kinds of parameters, if they are known.

    Examples
    --------
    >>> names = [f"h.{block}.{role}" for block in range(30) for role in ("ln.weight", "mlp.weight")]
    >>> [(group.label, group.members[:2]) for group in groups_of(names, ["norm", "linear"] * 30)]
    [('mlp', (1, 3)), ('ln', (0, 2))]
    """
    grid = grid_of(names) if len(names) > MANY else None
    if grid is None:
        return None
    rows: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        parameter = block_parameter(name)
        rows.setdefault(parameter.role if parameter is not None and parameter.role in grid.roles else name, []).append(
            position
        )
    below = {position for position, kind in enumerate(kinds) if kind in APART}
    groups = [Group(_without_weight(label), tuple(members)) for label, members in rows.items()]
    return sorted(groups, key=lambda group: group.members[0] in below)


def spoken(name: str, names: Sequence[str]) -> str:
    """Return a parameter or layer as a sentence names it: role and block, if it is of repeated blocks, else its name.

    >>> spoken("h.3.mlp.c_proj.weight", ["h.3.mlp.c_proj.weight", "h.4.mlp.c_proj.weight"])
    '`mlp.c_proj` in block 3'
    >>> spoken("layer1.0.conv1.weight", ["layer1.0.conv1.weight", "layer2.0.conv1.weight"])
    '`conv1` in `layer1.0`'
    >>> spoken("h.3.attn", ["h.3.attn", "h.4.attn"])
    '`attn` in block 3'
    >>> spoken("h.3", ["drop", "h.3", "h.4"])
    'block 3'
    >>> spoken("fc.weight", ["fc.weight", "0.weight", "2.weight"])
    '`fc.weight`'
    """
    stem, _, number = name.rpartition(".")
    if stem and number.isdigit() and stem.rpartition(".")[2] in BLOCKS:
        siblings = [other for other in names if re.fullmatch(r"(.+\.)?\d+", other)]
        return f"block {number}" if {other.rpartition(".")[0] for other in siblings} == {stem} else f"`{name}`"
    parameter, grid = block_parameter(name), grid_of(names)
    if parameter is None or grid is None or parameter.role not in grid.roles or _is_of_sequence(parameter.role):
        return f"`{name}`"
    stems = {block.rpartition(".")[0] for block in grid.blocks}
    block = f"block {parameter.block.rpartition('.')[2]}" if len(stems) == 1 else f"`{parameter.block}`"
    return f"`{_without_weight(parameter.role)}` in {block}"


def _is_of_sequence(role: str) -> bool:
    """Return whether a role is that of a numbered layer itself, such as the weight of ``3.weight``, not of a block."""
    return role in LEAVES or role.isdigit()


def _without_weight(role: str) -> str:
    return role.removesuffix(".weight")
