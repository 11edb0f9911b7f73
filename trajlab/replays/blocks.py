"""The residual stream of a transformer: its blocks, what enters the first, and what follows the last."""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from trajlab.replays.calls import Call

STREAM_DIMS = 2
"""Dims of a hidden state of one sample: position and unit."""


class Stream(NamedTuple):
    """The residual stream of a network.

    Parameters
    ----------
    states
        The hidden state that enters the first block, if any, and the output of each block; those of the encoder and of
        the decoder if there are both.
    head
        Paths of the modules that the network applies to the last state, in order: its norm and its output layer.
    """

    states: list[Call]
    head: tuple[str, ...] = ()


def stream_of(calls: Sequence[Call]) -> Stream:
    """Return the residual stream in the outputs of a pass; it has no states if there are no blocks.

    Blocks are modules of one class, numbered in one list that lies in no other block, with outputs of one shape,
    (position, unit). The last output of that shape before the first call in a block is the state that enters it.
    """
    usable = [
        call
        for call in calls
        if not call.key.tensor and not call.key.function and not call.key.call and len(call.shape) == STREAM_DIMS
    ]
    lists: dict[str, list[Call]] = {}
    for call in usable:
        numbered = re.fullmatch(r"(.*?)\.?(\d+)", call.key.path)
        if numbered and call.module is not None and list(call.module.children()):
            lists.setdefault(numbered[1], []).append(call)
    lists = {name: blocks for name, blocks in lists.items() if _are_of_one_kind(blocks)}
    outer = {
        name: blocks
        for name, blocks in lists.items()
        if not any(_is_inside(name, block.key.path) for others in lists.values() for block in others)
    }
    states: list[Call] = []
    for blocks in outer.values():
        states += [*_entering(calls, blocks), *blocks]
    return Stream(states, _head(calls, states[-1]) if states else ())


def _are_of_one_kind(blocks: Sequence[Call]) -> bool:
    return len({(type(block.module), block.shape) for block in blocks}) == 1


def _is_inside(path: str, block: str) -> bool:
    return path.startswith(f"{block}.")


def _entering(calls: Sequence[Call], blocks: Sequence[Call]) -> list[Call]:
    """Return the last output of the shape of the blocks before the first call in one of them."""
    inside = [
        position
        for position, call in enumerate(calls)
        if call in blocks or any(_is_inside(call.key.whole, block.key.path) for block in blocks)
    ]
    before = [
        call
        for call in calls[: min(inside)]
        if call.shape == blocks[0].shape and call.module is not None and not call.key.tensor and call.key.path
    ]
    return before[-1:]


def _head(calls: Sequence[Call], last: Call) -> tuple[str, ...]:
    """Return the paths of the leaf modules that are called after the last block."""
    after = calls[calls.index(last) + 1 :]
    leaves = [
        call.key.path
        for call in after
        if call.module is not None and not call.key.tensor and call.key.path and not list(call.module.children())
    ]
    return tuple(path for path, _ in groupby(leaves))
